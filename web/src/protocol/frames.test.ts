// What comes in is read without a throw, whatever it is; the protocol page's own examples are read as what they say.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { allCodes, closeCodes, comesBack, isCode, readFrame, toFrame } from ".";

const page = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
const examples = page.split("\n").flatMap((line) => (line.startsWith("← {") ? [line.slice(2)] : []));

describe("the protocol page", () => {
  it("has examples", () => expect(examples.length).toBeGreaterThanOrEqual(8));
  it.each(examples)("is read: %s", (text) => {
    const incoming = readFrame(text);
    const wanted = JSON.parse(text) as { type: string };
    expect(incoming.kind).not.toBe("unknown");
    const read = incoming.kind === "event" ? incoming.event : incoming.kind === "frame" ? incoming.frame : null;
    // All that the example says was understood: nothing was left out.
    expect(read).toEqual(wanted);
  });
});

const chat = {
  type: "chat",
  timestamp: "2026-11-22T13:45:09.001Z",
  user_id: "0190b6a1-0000-7000-8000-00000000a11c",
  room_id: "01935000-2222-7000-8000-000000000007",
  message_id: "00000000-002a-8001-bde1-f33f23557a90",
  seq: 42,
  content: "Lunch?",
  metadata: { number: 39, epoch: 1, message_type: "text" },
};

it("leaves out what it does not know, and keeps the sender's own keys", () => {
  const incoming = toFrame({ ...chat, colour: "red", metadata: { ...chat.metadata, mine: [1], __proto__: 1 } });
  expect(incoming).toEqual({ kind: "event", event: { ...chat, metadata: { ...chat.metadata, mine: [1] } } });
});

it("takes null for absent, and an optional field of another form too", () => {
  expect(toFrame({ ...chat, id: null })).toEqual({ kind: "event", event: chat });
  expect(toFrame({ ...chat, id: 7 })).toEqual({ kind: "event", event: chat });
});

it("an event that lacks something, or is of a newer type, still has its place", () => {
  const place = { type: null, room_id: chat.room_id, seq: 42 };
  expect(toFrame({ ...chat, metadata: { number: "many" } })).toEqual({ kind: "event", event: place });
  expect(toFrame({ ...chat, type: "reaction" })).toEqual({ kind: "event", event: place });
});

it("a room of a kind that is not known is passed over, the others are not", () => {
  const room = {
    room_id: chat.room_id,
    type: "public",
    members: 1,
    epoch: 1,
    first_seq: 1,
    last_seq: 1,
    last_number: 1,
    read_number: 1,
    last_at: chat.timestamp,
    created_at: chat.timestamp,
  };
  const incoming = toFrame({
    type: "rooms",
    metadata: { rooms: [{ ...room, type: "planet" }, room], more_rooms: false },
  });
  expect(incoming).toMatchObject({ kind: "frame", frame: { metadata: { rooms: [room] } } });
});

it("an error with a code of a newer server is an error all the same", () => {
  const incoming = toFrame({ type: "error", content: "no", metadata: { code: "too_tired", advice: "sleep" } });
  expect(incoming).toMatchObject({ kind: "frame", frame: { metadata: { code: "too_tired" } } });
  expect(isCode("too_tired")).toBe(false);
  expect(isCode("toString")).toBe(false);
});

it("never throws, whatever comes", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      readFrame(text);
    }),
  );
  // Frames with one field bent.
  const frames = [chat, ...examples.map((text) => JSON.parse(text) as Record<string, unknown>)];
  fc.assert(
    fc.property(fc.constantFrom(...frames), fc.string(), fc.jsonValue(), (frame, extra, value) => {
      for (const name of [...Object.keys(frame), extra]) toFrame({ ...frame, [name]: value });
      const metadata = "metadata" in frame ? (frame["metadata"] as object) : {};
      for (const name of Object.keys(metadata)) toFrame({ ...frame, metadata: { ...metadata, [name]: value } });
    }),
  );
});

it("knows for every close code whether to come back", () => {
  for (const [code, { reconnect }] of Object.entries(closeCodes)) {
    if (code !== "1000") expect(comesBack(Number(code))).toBe(reconnect);
  }
  // What is not of the protocol: a proxy's codes come back, an unknown 44xx does not.
  expect([1001, 1006, 1011, 4999].map(comesBack)).toEqual([true, true, true, true]);
  expect(comesBack(4477)).toBe(false);
  expect(allCodes.length).toBeGreaterThan(30);
});
