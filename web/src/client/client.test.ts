// The client as one machine, where its parts meet: what the journeys over the fake server reach only by rare chance.

import { expect, it } from "vitest";
import { Client } from "./client";
import type { ClientEffect } from "./effects";

const ROOM = "01935000-2222-7000-8000-000000000007";
const ME = "0190b6a1-0000-7000-8000-00000000a11c";
const ID = "01935310-aaaa-7000-8000-000000000001";
const AT = "2026-11-22T13:45:07.123Z";
const room = {
  room_id: ROOM,
  name: "general",
  type: "public",
  role: "member",
  members: 2,
  epoch: 1,
  first_seq: 1,
  last_seq: 41,
  last_number: 38,
  read_number: 38,
  last_at: AT,
  created_at: AT,
};
const hello = {
  type: "hello",
  timestamp: AT,
  user_id: ME,
  metadata: {
    protocol: 1,
    capabilities: [],
    user: { user_id: ME, username: "alice", display_name: "Alice", admin: false },
    session_id: ME,
    device_id: ME,
    limits: {
      content_chars: 4096,
      metadata_bytes: 4096,
      frame_bytes: 65536,
      messages_per_second: 10,
      messages_burst: 20,
      page_rows: 100,
      rooms_per_request: 1000,
    },
    heartbeat_ms: 10000,
    rooms: [room],
    more_rooms: false,
    stream: { epoch: 1, seq: 3 },
  },
};

function live() {
  let next = 0;
  const client = new Client({ deviceId: null, random: () => 0.5, newId: () => `${ID.slice(0, -2)}${10 + next++}` });
  const hear = (frame: object): void => client.frame(client.connection.socket, JSON.stringify(frame), 1000);
  client.input({ kind: "start" }, 1000);
  client.token("token", 1000);
  client.input({ kind: "opened", socket: client.connection.socket }, 1000);
  hear(hello);
  client.outbox.lead(true, 1000);
  client.effects();
  return { client, hear };
}
const written = (effects: readonly ClientEffect[]): unknown[] =>
  effects.flatMap((effect) => (effect.do === "write" ? [JSON.parse(effect.text) as unknown] : []));
const done = (effects: readonly ClientEffect[]): string[] => effects.map((effect) => effect.do);
const ack = {
  type: "ack",
  id: ID,
  timestamp: AT,
  room_id: ROOM,
  message_id: ID,
  seq: 42,
  metadata: { epoch: 1, number: 39 },
};

it("an ack counts as the event", () => {
  const { client, hear } = live();
  client.say({ id: ID, roomId: ROOM, content: "Lunch?" }, 1000);
  expect(written(client.effects())).toEqual([{ type: "chat", id: ID, room_id: ROOM, content: "Lunch?" }]);
  hear(ack);
  const effects = client.effects();
  expect(done(effects)).toEqual(["acked", "deliver"]);
  expect(effects[1]).toMatchObject({
    place: { epoch: 1, seq: 42 },
    events: [{ id: ID, content: "Lunch?", user_id: ME }],
  });
});

it("an ack that nobody waits for any more is a hole, and asked for", () => {
  const { client, hear } = live();
  client.say({ id: ID, roomId: ROOM, content: "Lunch?" }, 1000);
  client.outbox.remove(ID, 1000);
  client.effects();
  hear(ack);
  expect(written(client.effects())).toEqual([
    { type: "resume", metadata: { rooms: [{ room_id: ROOM, epoch: 1, seq: 41 }] } },
  ]);
});

it("an ack of what one took back is the event of it", () => {
  const { client, hear } = live();
  const id = client.request({ type: "delete", room_id: ROOM, seq: 40 }, 1000);
  client.effects();
  hear({ ...ack, id });
  const effects = client.effects();
  expect(done(effects)).toEqual(["answered", "deliver"]);
  expect(effects[1]).toMatchObject({ events: [{ type: "delete", metadata: { target_seq: 40 } }] });
});

it("a hole in the user stream is asked for, and its entries come once each, in order", () => {
  const { client, hear } = live();
  const entry = (seq: number) => ({
    type: "stream",
    timestamp: AT,
    user_id: ME,
    room_id: ROOM,
    seq,
    metadata: { event: "read", number: seq },
  });
  hear(entry(4));
  hear(entry(4));
  hear(entry(7));
  hear(entry(8));
  let effects = client.effects();
  expect(effects.flatMap((effect) => (effect.do === "stream" ? [effect.frame.seq] : []))).toEqual([4]);
  expect(written(effects)).toEqual([{ type: "resume", metadata: { rooms: [], stream: { epoch: 1, seq: 4 } } }]);
  for (const seq of [5, 6, 7, 8]) hear(entry(seq));
  hear({ type: "resumed", seq: 8, metadata: { more: false } });
  effects = client.effects();
  expect(effects.flatMap((effect) => (effect.do === "stream" ? [effect.frame.seq] : []))).toEqual([5, 6, 7, 8]);
  expect(written(effects)).toEqual([]);
});

it("a request that is not answered for 20 s is lost, and so is the connection", () => {
  const { client } = live();
  const id = client.request({ type: "history", room_id: ROOM }, 1000);
  client.effects();
  expect(client.deadline(1000)).toBe(21_000);
  client.tick(21_000);
  const effects = client.effects();
  expect(effects).toContainEqual({ do: "answered", id, answer: { is: "lost" } });
  expect(done(effects)).toContain("close");
  expect(client.live).toBe(false);
});

it("words of a socket that is no more are passed over", () => {
  const { client } = live();
  const old = client.connection.socket;
  client.input({ kind: "closed", socket: old, code: 1006 }, 1000);
  client.effects();
  client.frame(old, JSON.stringify(ack), 1000);
  client.input({ kind: "closed", socket: old, code: 4410 }, 1000);
  expect(client.effects()).toEqual([]);
  expect(client.connection.phase.at).toBe("waiting");
});

it("without a connection nothing is asked and nothing written", () => {
  const { client } = live();
  client.input({ kind: "closed", socket: client.connection.socket, code: 1006 }, 1000);
  client.effects();
  expect(client.request({ type: "history", room_id: ROOM }, 1000)).toBeNull();
  client.tell({ type: "presence" });
  client.say({ id: ID, roomId: ROOM, content: "later" }, 1000);
  client.settle(1000);
  expect(written(client.effects())).toEqual([]);
});
