// The lines of a timeline: days, groups, the unread line, and that what says the same stays the same.

import { expect, it } from "vitest";
import { makeRows, type RowSource } from "./rows";
import type { Send, Timeline, TimelineEvent } from "./state";
import type { Row } from "./types";

const ME = "me";
const NOON = new Date(2026, 5, 1, 12).getTime();
const MINUTE = 60_000;

function message(seq: number, userId = "bob", at = NOON + seq * MINUTE, number = seq): TimelineEvent {
  const key = `k${seq}`;
  const content = { kind: "text", text: `${seq}` } as const;
  return { kind: "message", seq, message: { key, roomId: "r", seq, number, userId, at, content, state: "sent" } };
}
const timeline = (events: readonly TimelineEvent[], more: Partial<Timeline> = {}): Timeline => ({
  epoch: 1,
  from: 1,
  to: events.at(-1)?.seq ?? 0,
  firstSeq: 1,
  lost: false,
  events,
  loading: false,
  problem: null,
  ...more,
});
const source = (of: Timeline, more: Partial<RowSource> = {}): RowSource => ({
  timeline: of,
  sends: [],
  me: ME,
  line: null,
  lastNumber: of.to,
  ...more,
});
const short = (rows: readonly Row[]): string =>
  rows.map((row) => (row.kind === "message" ? `${row.head ? "H" : "m"}${row.message.seq ?? "?"}` : row.kind)).join(" ");

it("one author within five minutes stands under one header; a notice, another author or more time begins a new one", () => {
  const events = [message(1), message(2), message(3, "carol"), message(4), message(20)];
  expect(short(makeRows()(source(timeline(events))))).toBe("start day H1 m2 H3 H4 H20");
});

it("a group does not go on for ever: five minutes from its header", () => {
  const events = [1, 2, 3, 4, 5, 6, 7].map((seq) => message(seq));
  expect(short(makeRows()(source(timeline(events))))).toBe("start day H1 m2 m3 m4 m5 H6 m7");
});

it("a new day has a line, and a header", () => {
  const midnight = new Date(2026, 5, 2).getTime();
  const events = [message(1, "bob", midnight - MINUTE), message(2, "bob", midnight)];
  expect(short(makeRows()(source(timeline(events))))).toBe("start day H1 day H2");
});

it("a clock that went back over midnight does not make the same day twice", () => {
  const midnight = new Date(2026, 5, 2).getTime();
  const events = [
    message(1, "bob", midnight - 1),
    message(2, "bob", midnight + 1),
    message(3, "bob", midnight - 1),
    message(4, "bob", midnight + 1),
  ];
  const rows = makeRows()(source(timeline(events)));
  expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length);
});

it("the unread line stands before the first unread message of somebody else", () => {
  const events = [message(1), message(2), message(3, ME), message(4)];
  expect(short(makeRows()(source(timeline(events), { line: 2 })))).toBe("start day H1 m2 H3 unread H4");
  expect(short(makeRows()(source(timeline(events), { line: 4 })))).toBe("start day H1 m2 H3 H4");
  expect(short(makeRows()(source(timeline(events), { line: 0 })))).toBe("start day unread H1 m2 H3 H4");
});

it("the unread line waits until what is before it is loaded", () => {
  const events = [message(8), message(9)];
  const part = timeline(events, { from: 8 });
  expect(short(makeRows()(source(part, { line: 3 })))).toBe("day H8 m9");
  expect(short(makeRows()(source(part, { line: 7 })))).toBe("day unread H8 m9");
});

it("says what is before the first row", () => {
  const rows = makeRows();
  expect(short(rows(source(timeline([message(5)], { from: 5 }))))).toBe("day H5");
  expect(rows(source(timeline([message(5)], { from: 5, firstSeq: 5 })))[0]).toEqual({
    kind: "start",
    key: "start",
    whole: false,
  });
  expect(rows(source(timeline([message(5)], { from: 5, firstSeq: 5, lost: true })))[0]?.kind).toBe("lost");
});

it("own messages on the way stand last; one that may be there already stands once", () => {
  const send = (id: string, more: Partial<Send> = {}): Send => ({
    id,
    roomId: "r",
    text: id,
    at: NOON + 10 * MINUTE,
    state: "waiting",
    problem: null,
    perhaps: null,
    ...more,
  });
  const sends = [send("a", { state: "sending", perhaps: 1 }), send("b")];
  const rows = makeRows()(source(timeline([message(1, ME)]), { sends }));
  expect(rows.map(({ key }) => key)).toEqual(["start", "day-2026-5-1", "k1", "b"]);
  expect(rows.at(-1)).toMatchObject({ message: { state: "waiting", content: { text: "b" } }, own: true });
});

it("an own message that has come and is still in the outbox of another tab stands once", () => {
  const send: Send = { id: "k1", roomId: "r", text: "k1", at: NOON, state: "sending", problem: null, perhaps: null };
  const rows = makeRows();
  expect(rows(source(timeline([message(1, ME)]), { sends: [send] })).map(({ key }) => key)).toEqual([
    "start",
    "day-2026-5-1",
    "k1",
  ]);
  // Somebody else's id says nothing of ours.
  expect(rows(source(timeline([message(1, "bob")]), { sends: [send] })).at(-1)).toMatchObject({ own: true });
});

it("of ten thousand rows only those change that say something else", () => {
  const rows = makeRows();
  const events = Array.from({ length: 10_000 }, (_, n) => message(n + 1, n % 7 ? "bob" : "carol"));
  const before = rows(source(timeline(events)));
  const added = message(10_001);
  const after = rows(source(timeline([...events, added])));
  expect(after.length).toBe(before.length + 1);
  expect(before.every((row, n) => row === after[n])).toBe(true);
  const gone = events.map((event) =>
    event.seq === 5000 && event.kind === "message" ? { ...event, message: { ...event.message, content: null } } : event,
  );
  const last = rows(source(timeline([...gone, added])));
  expect(last.filter((row, n) => row !== after[n]).length).toBeLessThanOrEqual(2);
  // And nothing new is the very same list.
  expect(rows(source(timeline([...gone, added])))).toBe(last);
});
