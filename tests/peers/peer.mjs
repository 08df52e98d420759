// A client of the protocol for Node, with the library `ws`, written by docs/protocol.md alone.
//
// One JSON object a line in (what to do), one a line out (what happened). Usage: node peer.mjs HOST:PORT CERTIFICATE STATE_FILE
// Its position in the room is kept in STATE_FILE, so that it can be killed and go on.

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";
import readline from "node:readline";

// Installed beside the tests' other things, not in this folder.
const WebSocket = createRequire(process.env.PEER_MODULES + "/")("ws");

const [server, certificate, stateFile] = process.argv.slice(2);
const ca = readFileSync(certificate);
const state = existsSync(stateFile) ? JSON.parse(readFileSync(stateFile, "utf8")) : { rooms: {} };

let token = null;
let me = null;
let socket = null;
const waiting = new Map(); // requests by id
const ahead = new Map(); // room → events behind a hole, by seq
const resuming = new Set();
let toSend = []; // sends in order; the first is under way

const tell = (event) => process.stdout.write(JSON.stringify(event) + "\n");

function keep() {
  writeFileSync(stateFile + ".new", JSON.stringify(state));
  renameSync(stateFile + ".new", stateFile);
}

function uuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function rest(method, path, body) {
  return new Promise((resolve, reject) => {
    const [host, port] = server.split(":");
    const headers = { "content-type": "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    const request = https.request({ host, port, path: "/api/v1/" + path, method, headers, ca }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("end", () => {
        if (response.statusCode >= 300) reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
        else resolve(text ? JSON.parse(text) : null);
      });
    });
    request.on("error", reject);
    request.end(body ? JSON.stringify(body) : undefined);
  });
}

function send(frame) {
  socket.send(JSON.stringify(frame));
}

function ask(frame) {
  return new Promise((resolve) => {
    const id = uuid7();
    waiting.set(id, resolve);
    send({ ...frame, id });
  });
}

function connect() {
  return new Promise((resolve) => {
    socket = new WebSocket(`wss://${server}/ws/chat`, { ca });
    const mine = socket;
    socket.on("open", () => send({ type: "auth", content: token, metadata: { device_id: state.device_id } }));
    socket.on("message", (data, binary) => {
      if (binary) throw new Error("the server sends text frames only");
      if (mine === socket) frame(JSON.parse(data), resolve);
    });
    socket.on("close", (code) => {
      if (mine !== socket) return;
      tell({ event: "closed", code });
      if (code >= 4400 && code < 4500) return;
      setTimeout(() => mine === socket && connect(), 100 + Math.random() * 200);
    });
    socket.on("error", () => {}); // "close" follows
  });
}

function resume(rooms) {
  rooms.forEach((room) => resuming.add(room));
  send({ type: "resume", metadata: { rooms: rooms.map((room) => ({ room_id: room, ...state.rooms[room] })) } });
}

function hello(frame) {
  me = frame.user_id;
  state.device_id = frame.metadata.device_id;
  resuming.clear();
  ahead.clear();
  const behind = [];
  for (const room of frame.metadata.rooms) {
    const known = state.rooms[room.room_id];
    if (!known) state.rooms[room.room_id] = { epoch: room.epoch, seq: room.last_seq };
    else if (known.epoch !== room.epoch || known.seq !== room.last_seq) behind.push(room.room_id);
  }
  keep();
  if (behind.length > 0) resume(behind);
  if (toSend.length > 0) push();
}

// The rule of positions.
function event(e) {
  const at = (state.rooms[e.room_id] ??= { epoch: e.metadata.epoch, seq: e.seq - 1 });
  if (e.seq <= at.seq) return;
  if (e.seq > at.seq + 1) {
    if (!ahead.has(e.room_id)) ahead.set(e.room_id, new Map());
    ahead.get(e.room_id).set(e.seq, e);
    if (!resuming.has(e.room_id)) resume([e.room_id]);
    return;
  }
  at.seq = e.seq;
  keep();
  tell({ event: e.type, seq: e.seq, user_id: e.user_id, content: e.content, number: e.metadata.number, mine: e.user_id === me });
  const next = ahead.get(e.room_id)?.get(at.seq + 1);
  if (next) {
    ahead.get(e.room_id).delete(at.seq + 1);
    event(next);
  }
}

function resumed(frame) {
  const at = state.rooms[frame.room_id];
  const waitingEvents = [...(ahead.get(frame.room_id)?.values() ?? [])].sort((a, b) => a.seq - b.seq);
  ahead.delete(frame.room_id);
  if (at.seq < frame.seq) {
    tell({ event: "hole", from: at.seq, to: frame.seq });
    at.seq = frame.seq;
    keep();
  }
  resuming.delete(frame.room_id);
  if (frame.metadata.more) resume([frame.room_id]);
  waitingEvents.forEach(event);
}

// One send at a time keeps their order; the same id until it is answered.
function push() {
  const first = toSend[0];
  send({ type: "chat", id: first.id, room_id: first.room, content: first.content });
  if (first.drop) {
    first.drop = false;
    // Gone before any answer can come.
    setImmediate(() => socket.terminate());
  }
}

function answered(frame) {
  const first = toSend[0];
  if (!first || frame.id !== first.id) return false;
  if (frame.type === "error" && frame.metadata.retry_after_ms) {
    setTimeout(() => socket.readyState === WebSocket.OPEN && push(), frame.metadata.retry_after_ms);
    return true;
  }
  toSend.shift();
  if (frame.type === "error") tell({ event: "refused", id: frame.id, code: frame.metadata.code });
  else {
    tell({ event: "acked", id: frame.id, seq: frame.seq, message_id: frame.message_id, duplicate: frame.metadata.duplicate === true });
    event({ ...frame, type: "chat", user_id: me, content: first.content });
  }
  if (toSend.length > 0) push();
  return true;
}

function frame(f, ready) {
  if (f.type === "hello") {
    hello(f);
    tell({ event: "hello", user_id: f.user_id, rooms: f.metadata.rooms.length });
    ready?.();
  } else if (["chat", "delete", "join", "leave", "system"].includes(f.type)) event(f);
  else if (f.type === "resumed") resumed(f);
  else if (f.type === "reload") tell({ event: "reload", reason: f.metadata.reason });
  else if (f.type === "resync") resume([f.room_id]);
  else if (f.id && answered(f)) return;
  else if (f.id && waiting.has(f.id)) {
    waiting.get(f.id)(f);
    waiting.delete(f.id);
  }
}

const commands = {
  async signup({ username, password }) {
    const answer = await rest("POST", "auth/signup", { username, password });
    token = answer.access_token;
    tell({ event: "signed_in" });
  },
  async login({ username, password }) {
    const answer = await rest("POST", "auth/login", { username, password, device_id: state.device_id });
    token = answer.access_token;
    tell({ event: "signed_in" });
  },
  connect,
  async create({ name }) {
    const room = await rest("POST", "chat/rooms", { name, type: "public" });
    state.rooms[room.room_id] ??= { epoch: room.epoch, seq: room.last_seq };
    tell({ event: "room", room_id: room.room_id });
  },
  async find({ name }) {
    const { rooms } = await rest("GET", "chat/rooms");
    tell({ event: "room", room_id: rooms.find((room) => room.name === name).room_id });
  },
  async join({ room }) {
    const answer = await ask({ type: "join", room_id: room });
    if (answer.type !== "ack") throw new Error(JSON.stringify(answer));
    const { epoch, last_seq } = answer.metadata.room;
    state.rooms[room] ??= { epoch, seq: last_seq };
    tell({ event: "joined", room_id: room });
  },
  say({ room, content, drop, id }) {
    toSend.push({ id: id ?? uuid7(), room, content, drop });
    if (toSend.length === 1 && socket.readyState === WebSocket.OPEN) push();
  },
  async history({ room, limit }) {
    const answer = await ask({ type: "history", room_id: room, metadata: { limit } });
    tell({ event: "history", messages: answer.metadata.messages.map((m) => [m.seq, m.type, m.content ?? null]) });
  },
  quit() {
    const last = socket;
    socket = null;
    last?.close(1000);
    process.stdin.destroy();
  },
};

// One command after the other.
let turn = Promise.resolve();
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  turn = turn.then(() => commands[command.do](command)).catch((error) => {
    tell({ event: "failed", text: String(error.stack) });
    process.exit(1);
  });
});
