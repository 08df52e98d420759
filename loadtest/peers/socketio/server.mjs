// A bare broadcast server on Socket.IO 4 with its default settings, but over WebSocket alone and with TLS. See ../README.md.
//
// Usage: node server.mjs --listen HOST:PORT --certificate FILE --key FILE
// Prints `listening HOST:PORT` when it takes connections. Stores nothing. Ends at SIGTERM.

import { readFileSync } from "node:fs";
import https from "node:https";
import { parseArgs } from "node:util";
import { Server } from "socket.io";

const { values: options } = parseArgs({
  options: { listen: { type: "string" }, certificate: { type: "string" }, key: { type: "string" } },
});
const cut = options.listen.lastIndexOf(":");
const server = https.createServer({
  cert: readFileSync(options.certificate),
  key: readFileSync(options.key),
  minVersion: "TLSv1.3",
});
const io = new Server(server, { transports: ["websocket"] });

io.on("connection", (socket) => {
  socket.on("join", (names, done) => {
    socket.join(names);
    done(names.length);
  });
  socket.on("send", (room, text, done) => {
    if (!socket.rooms.has(room)) return done({ error: "not in this room" });
    socket.to(room).emit("message", room, text);
    done();
  });
});

server.listen(Number(options.listen.slice(cut + 1)), options.listen.slice(0, cut), 4096, () => {
  const { address, port } = server.address();
  console.log(`listening ${address}:${port}`);
});
process.on("SIGTERM", () => process.exit(0));
