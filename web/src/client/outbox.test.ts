// The outbox by itself: order within a room, one at a time, the same id until it is answered, no faster than allowed.

import fc from "fast-check";
import { expect, it } from "vitest";
import { Outbox, type OutboxEffect } from "./outbox";

const LIMITS = { messages_per_second: 10, messages_burst: 20 };
const message = (n: number, room = 0) => ({ id: `${n}`, roomId: `room ${room}`, content: `text ${n}` });
const sent = (effects: readonly OutboxEffect[]): string[] =>
  effects.flatMap((effect) => (effect.do === "send" ? [effect.frame.id] : []));

function open(now = 1000): Outbox {
  const outbox = new Outbox();
  outbox.lead(true, now);
  outbox.connected(LIMITS, now);
  outbox.effects();
  return outbox;
}

it("one at a time in each room, all rooms beside each other", () => {
  const outbox = open();
  for (let n = 0; n < 6; n += 1) outbox.add(message(n, n % 2), 1000);
  expect(sent(outbox.effects())).toEqual(["0", "1"]);
  outbox.acked("0", 1000);
  expect(sent(outbox.effects())).toEqual(["2"]);
});

it("only who leads sends, and only with a connection", () => {
  const outbox = new Outbox();
  outbox.add(message(1), 1000);
  outbox.connected(LIMITS, 1000);
  expect(sent(outbox.effects())).toEqual([]);
  outbox.lead(true, 1000);
  expect(sent(outbox.effects())).toEqual(["1"]);
  outbox.lost();
  outbox.tick(60_000);
  expect(outbox.effects()).toEqual([]);
  outbox.connected(LIMITS, 60_000);
  expect(sent(outbox.effects())).toEqual(["1"]);
});

it("no faster than the server allows, and no slower", () => {
  const outbox = open();
  for (let n = 0; n < 50; n += 1) outbox.add(message(n, n), 1000);
  expect(sent(outbox.effects()).length).toBe(20);
  let now = 1000;
  let more = 0;
  while (more < 30) {
    const next = outbox.deadline(now);
    if (next === null || next > 1000 + 3100) break;
    now = next;
    outbox.tick(now);
    more += sent(outbox.effects()).length;
  }
  expect(more).toBe(30);
  expect(now).toBeGreaterThanOrEqual(1000 + 2900);
});

it("no answer for 20 s is said, and nothing is sent beside it", () => {
  const outbox = open();
  outbox.add(message(1), 1000);
  outbox.effects();
  expect(outbox.deadline(1000)).toBe(21_000);
  outbox.tick(21_000);
  expect(outbox.effects()).toEqual([{ do: "unanswered" }]);
});

it.each(["rate_limited", "busy", "storage_unavailable", "draining", "internal", "timeout"])(
  "%s passes: it waits, and goes again with the same id",
  (code) => {
    const outbox = open();
    outbox.add(message(1), 1000);
    outbox.effects();
    expect(outbox.refused("1", { code, detail: "", retryAfterMs: 500 }, 1000)).toBe(true);
    expect(outbox.effects()).toMatchObject([{ do: "state", state: { is: "waiting", until: 1500 } }]);
    outbox.tick(1499);
    expect(sent(outbox.effects())).toEqual([]);
    outbox.tick(1500);
    expect(sent(outbox.effects())).toEqual(["1"]);
  },
);

it.each(["bad_content", "not_member", "room_not_found", "id_reused", "something_new"])(
  "%s does not pass: it fails, and the next one goes",
  (code) => {
    const outbox = open();
    outbox.add(message(1), 1000);
    outbox.add(message(2), 1000);
    outbox.effects();
    outbox.refused("1", { code, detail: "" }, 1000);
    const effects = outbox.effects();
    expect(effects).toMatchObject([
      { do: "state", id: "1", state: { is: "failed" } },
      { do: "state", id: "2" },
      { do: "send" },
    ]);
    // It keeps its place, and goes when the person wants.
    outbox.acked("2", 1000);
    outbox.effects();
    outbox.retry("1", 1000);
    expect(sent(outbox.effects())).toEqual(["1"]);
  },
);

it("whatever happens, a server that stores by id has each once, in the order of its room", () => {
  const step = fc.oneof(
    fc.record({ say: fc.nat(2) }),
    fc.record({ answer: fc.constantFrom("ack", "lose the ack", "busy", "lose all") }),
    fc.record({ pass: fc.nat(5000) }),
    fc.record({ lead: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      let now = 1000;
      const outbox = open(now);
      const wire: { id: string; room: string }[] = [];
      const stored = new Map<string, string[]>();
      const said = new Map<string, string[]>();
      let next = 0;
      const gather = (): void => {
        for (const effect of outbox.effects()) {
          if (effect.do === "send") wire.push({ id: effect.frame.id, room: effect.frame.room_id });
        }
      };
      const store = ({ id, room }: { id: string; room: string }): void => {
        const list = stored.get(room) ?? [];
        if (!list.includes(id)) list.push(id);
        stored.set(room, list);
      };
      const lose = (): void => {
        wire.length = 0;
        outbox.lost();
        outbox.connected(LIMITS, now);
        gather();
      };
      for (const one of steps) {
        if ("say" in one) {
          const made = message(next++, one.say);
          said.set(made.roomId, [...(said.get(made.roomId) ?? []), made.id]);
          outbox.add(made, now);
        } else if ("pass" in one) {
          now += one.pass;
          outbox.tick(now);
        } else if ("lead" in one) {
          outbox.lead(one.lead, now);
        } else {
          const first = wire.shift();
          if (first && one.answer !== "lose all" && one.answer !== "busy") store(first);
          if (first && one.answer === "ack") outbox.acked(first.id, now);
          if (first && one.answer === "busy") outbox.refused(first.id, { code: "busy", detail: "" }, now);
          if (one.answer.startsWith("lose")) lose();
        }
        gather();
      }
      outbox.lead(true, now);
      lose();
      for (let n = 0; n < 1000; n += 1) {
        now += 200;
        outbox.tick(now);
        gather();
        for (const frame of wire.splice(0)) {
          store(frame);
          outbox.acked(frame.id, now);
        }
        gather();
      }
      expect(Object.fromEntries(stored)).toEqual(Object.fromEntries(said));
    }),
    { numRuns: 300 },
  );
});
