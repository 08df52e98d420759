// A timeline grows at both ends and stays one unbroken, ordered part of the log.

import fc from "fast-check";
import { expect, it } from "vitest";
import type { RoomEvent } from "../changes";
import type { Timeline } from "../state";
import { append, fromPage, prepend } from "./timelines";

const message = (seq: number): RoomEvent => ({
  kind: "message",
  seq,
  message: {
    key: `k${seq}`,
    roomId: "r",
    seq,
    number: seq,
    userId: "bob",
    at: seq,
    content: { kind: "text", text: `${seq}` },
    state: "sent",
  },
});
const deletion = (seq: number, target: number): RoomEvent => ({ kind: "deletion", seq, target, by: "bob", at: seq });
const range = (from: number, to: number): RoomEvent[] =>
  Array.from({ length: to - from + 1 }, (_, n) => message(from + n));
const page = (from: number, to: number, events = range(from, to)) => ({
  roomId: "r",
  epoch: 1,
  from,
  to,
  firstSeq: 1,
  events,
});
const seqs = (timeline: Timeline): number[] => timeline.events.map(({ seq }) => seq);
const text = (timeline: Timeline, seq: number) => {
  const found = timeline.events.find((event) => event.seq === seq);
  return found?.kind === "message" ? found.message.content : undefined;
};

it("grows at both ends, whatever overlaps", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 5 })), {
        maxLength: 30,
      }),
      (steps) => {
        let timeline = fromPage(page(50, 60), false);
        for (const [forward, length, overlap] of steps) {
          if (forward) {
            const from = Math.max(timeline.from, timeline.to + 1 - overlap);
            timeline = append(timeline, 1, from + length - 1, range(from, from + length - 1));
          } else {
            const to = timeline.from - 1 + overlap;
            timeline = prepend(timeline, page(Math.max(1, to - length), to));
          }
          expect(seqs(timeline)).toEqual(range(timeline.from, timeline.to).map(({ seq }) => seq));
        }
      },
    ),
  );
});

it("a message that was taken back shows nothing, whichever of the two comes first", () => {
  const live = append(fromPage(page(1, 5), false), 1, 6, [deletion(6, 3)]);
  expect(text(live, 3)).toBeNull();
  expect(seqs(live)).toEqual([1, 2, 3, 4, 5]);
  expect(live.to).toBe(6);
  // The page was made before, the news of it stands in the page itself.
  expect(text(fromPage(page(1, 4, [...range(1, 3), deletion(4, 2)]), false), 2)).toBeNull();
  // In one batch.
  expect(text(append(fromPage(page(1, 1), false), 1, 4, [message(2), message(3), deletion(4, 2)]), 2)).toBeNull();
});

it("a page of another time does not fit", () => {
  const timeline = fromPage(page(50, 60), false);
  for (const bad of [page(10, 20), { ...page(40, 49), epoch: 2 }, page(50, 55)]) {
    expect(seqs(prepend({ ...timeline, loading: true }, bad))).toEqual(seqs(timeline));
    expect(prepend({ ...timeline, loading: true }, bad).loading).toBe(false);
  }
});

it("events that are there already change nothing at all", () => {
  const timeline = fromPage(page(1, 5), false);
  expect(append(timeline, 1, 5, range(2, 5))).toBe(timeline);
});
