// The lines of a timeline as they are shown: events and own messages on the way, with days, groups and the unread line between.
//
// Rows that say the same as before keep their identity, so that a list of ten thousand renders only what changed.

import type { Send, Timeline, TimelineEvent } from "./state";
import type { Message, Row, UserId } from "./types";

/** Messages of one author within this time stand under one header. */
const GROUP_MS = 5 * 60_000;

/** What rows are made of. */
export interface RowSource {
  readonly timeline: Timeline | undefined;
  readonly sends: readonly Send[];
  readonly me: UserId | null;
  /** The read marker at which the unread line stands; null: no line. */
  readonly line: number | null;
  readonly lastNumber: number;
}

/** A day of the person's zone: its name and its ends. */
interface Day {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

function dayOf(at: number): Day {
  const date = new Date(at);
  const [year, month, day] = [date.getFullYear(), date.getMonth(), date.getDate()];
  const from = new Date(year, month, day).getTime();
  const to = new Date(year, month, day + 1).getTime();
  return { name: `${year}-${month}-${day}`, from, to };
}

const asMessage = (send: Send, me: UserId): Message => ({
  key: send.id,
  roomId: send.roomId,
  userId: me,
  at: send.at,
  content: { kind: "text", text: send.text },
  state: send.state,
  ...(send.problem ? { problem: send.problem } : {}),
});

const sendMessages = new WeakMap<Send, Message>();

function messageOf(send: Send, me: UserId): Message {
  let message = sendMessages.get(send);
  if (message?.userId !== me) {
    message = asMessage(send, me);
    sendMessages.set(send, message);
  }
  return message;
}

const MARKS = {
  start: { kind: "start", key: "start", whole: true },
  later: { kind: "start", key: "start", whole: false },
  lost: { kind: "lost", key: "lost" },
} as const satisfies Record<string, Row>;

function sameSource(a: RowSource, b: RowSource): boolean {
  return (
    a.timeline === b.timeline &&
    a.sends === b.sends &&
    a.me === b.me &&
    a.line === b.line &&
    (b.line === null || a.lastNumber === b.lastNumber)
  );
}

/** Makes rows for one room; call it again with what changed. */
export function makeRows(): (source: RowSource) => readonly Row[] {
  let before: RowSource | null = null;
  let rows: readonly Row[] = [];
  // Rows by what they show. An event is the same object for as long as it says the same.
  let known = new WeakMap<object, Row>();
  let days = new Map<string, Row>();

  const messageRow = (message: Message, head: boolean, own: boolean): Row => {
    const found = known.get(message);
    if (found?.kind === "message" && found.head === head && found.own === own) {
      return found;
    }
    const row: Row = { kind: "message", key: message.key, message, head, own };
    known.set(message, row);
    return row;
  };
  const noticeRow = (event: TimelineEvent & { kind: "notice" }): Row => {
    const found = known.get(event.notice);
    if (found) {
      return found;
    }
    const row: Row = { kind: "notice", key: event.notice.key, notice: event.notice };
    known.set(event.notice, row);
    return row;
  };
  const dayRow = (at: number, day: string): Row => {
    let row = days.get(day);
    if (!row) {
      row = { kind: "day", key: `day-${day}`, at };
      days.set(day, row);
    }
    return row;
  };

  return (source) => {
    if (before !== null && sameSource(before, source)) {
      return rows;
    }
    if (before?.timeline?.epoch !== source.timeline?.epoch) {
      known = new WeakMap();
      days = new Map();
    }
    const oldUnread = rows.find((row) => row.kind === "unread");
    const out: Row[] = [];
    const seen = new Set<string>();
    const { timeline, me, line } = source;
    let day: Day = { name: "", from: 0, to: 0 };
    let author: UserId | null = null;
    let last = 0;
    let lineStands = line === null;
    // The line is drawn where what is before it is there; otherwise older pages have to come first.
    let reached = timeline !== undefined && timeline.from <= timeline.firstSeq;

    const put = (at: number, userId: UserId | null): boolean => {
      // Asking for the date is slow; most events are of the same day as the one before.
      if (at < day.from || at >= day.to) {
        day = dayOf(at);
        const today = day.name;
        // Events of one day can be split by a clock that went back; a key must stay single.
        if (!seen.has(today)) {
          seen.add(today);
          out.push(dayRow(at, today));
          author = null;
        }
      }
      const head = userId === null || author !== userId || at - last >= GROUP_MS;
      author = userId;
      if (head) {
        last = at;
      }
      return head;
    };
    // An own message may be an event here while the tab that sends has not yet told that it is out of its outbox.
    const there = source.sends.length > 0 ? new Set<string>() : null;
    const drawLine = (): void => {
      const count = Math.max(0, source.lastNumber - (line ?? 0));
      lineStands = true;
      if (count > 0) {
        const row: Row = oldUnread?.count === count ? oldUnread : { kind: "unread", key: "unread", count };
        out.push(row);
        author = null;
      }
    };

    if (
      timeline &&
      timeline.from <= timeline.firstSeq &&
      (timeline.events.length > 0 || timeline.to >= timeline.firstSeq)
    ) {
      out.push(timeline.lost ? MARKS.lost : timeline.firstSeq > 1 ? MARKS.later : MARKS.start);
    }
    for (const event of timeline?.events ?? []) {
      if (event.kind === "message") {
        const { message } = event;
        if (message.userId === me) there?.add(message.key);
        const beyond = (message.number ?? 0) - (line ?? 0);
        reached ||= beyond <= 1;
        if (!lineStands && reached && beyond > 0 && message.userId !== me) {
          // The line of a new day stands above the unread line.
          put(message.at, null);
          drawLine();
        }
        out.push(messageRow(message, put(message.at, message.userId), message.userId === me));
      } else {
        put(event.notice.at, null);
        out.push(noticeRow(event));
      }
    }
    if (me !== null) {
      for (const send of source.sends) {
        if (send.perhaps === null && !there?.has(send.id)) {
          const message = messageOf(send, me);
          out.push(messageRow(message, put(message.at, me), true));
        }
      }
    }
    before = source;
    // The same lines again are the same list.
    if (out.length !== rows.length || out.some((row, index) => row !== rows[index])) {
      rows = out;
    }
    return rows;
  };
}
