// A bare broadcast server on the library `ws`. The protocol stands in ../README.md.
//
// Usage: node server.mjs --listen HOST:PORT --certificate FILE --key FILE
// Prints `listening HOST:PORT` when it takes connections. Stores nothing. Ends at SIGTERM.

import { readFileSync } from "node:fs";
import https from "node:https";
import { parseArgs } from "node:util";
import { Sender, WebSocketServer } from "ws";

const MESSAGE_MAX = 64 * 1024;
// Who reads so slowly that this much waits for it is cut off.
const WAITING_MAX = 1024 * 1024;
const SPACE = 0x20;

const { values: options } = parseArgs({
  options: { listen: { type: "string" }, certificate: { type: "string" }, key: { type: "string" } },
});
const cut = options.listen.lastIndexOf(":");
const server = https.createServer({
  cert: readFileSync(options.certificate),
  key: readFileSync(options.key),
  minVersion: "TLSv1.3",
});
const sockets = new WebSocketServer({
  server,
  perMessageDeflate: false,
  clientTracking: false,
  maxPayload: MESSAGE_MAX,
});
const rooms = new Map(); // the set of sockets by name

sockets.on("connection", (socket, request) => {
  request.socket.setNoDelay(true);
  socket.rooms = new Set();
  socket.on("message", (data) => take(socket, data));
  socket.on("error", () => socket.terminate());
  socket.on("close", () => {
    for (const name of socket.rooms) {
      const room = rooms.get(name);
      room.delete(socket);
      if (room.size === 0) rooms.delete(name);
    }
  });
});

function take(socket, data) {
  const end = data.indexOf(SPACE);
  const verb = data.toString("latin1", 0, end);
  if (verb === "send") return pass(socket, data, end + 1);
  if (verb === "join") return join(socket, data.toString("utf8", end + 1));
  socket.send("error - unknown verb");
}

function join(socket, names) {
  for (const name of names.split(" ")) {
    let room = rooms.get(name);
    if (room === undefined) rooms.set(name, (room = new Set()));
    room.add(socket);
    socket.rooms.add(name);
  }
  socket.send(`joined ${socket.rooms.size}`);
}

// send ID ROOM TEXT
function pass(sender, data, start) {
  const afterId = data.indexOf(SPACE, start);
  const afterRoom = data.indexOf(SPACE, afterId + 1);
  const id = data.toString("utf8", start, afterId);
  if (afterId < 0 || afterRoom < 0) return sender.send("error - send ID ROOM TEXT");
  const name = data.toString("utf8", afterId + 1, afterRoom);
  if (!sender.rooms.has(name)) return sender.send(`error ${id} not in this room`);
  // One frame for all: `ws` offers to build it (Sender.frame), and how to send it as it is is what Socket.IO does, too.
  const frame = [prepared(data.subarray(afterId + 1))];
  for (const socket of rooms.get(name)) {
    if (socket === sender || socket.readyState !== socket.OPEN) continue;
    if (socket.bufferedAmount > WAITING_MAX) socket.terminate();
    else socket._sender.sendFrame(frame);
  }
  sender.send(`ack ${id}`);
}

const HEAD = Buffer.from("message ");

function prepared(rest) {
  const text = Buffer.concat([HEAD, rest]);
  return Buffer.concat(Sender.frame(text, { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: false }));
}

server.listen(Number(options.listen.slice(cut + 1)), options.listen.slice(0, cut), 4096, () => {
  const { address, port } = server.address();
  console.log(`listening ${address}:${port}`);
});
process.on("SIGTERM", () => process.exit(0));
