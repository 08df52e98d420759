// A timeline: one unbroken part of a room's log. It grows at the new end by events and at the old end by pages.
//
// Promises: events stand once each in the order of `seq`; a message that was taken back shows nothing, however the news of it came.

import type { Page, RoomEvent } from "../changes";
import type { Timeline, TimelineEvent } from "../state";
import type { Message } from "../types";

type Timelines = Readonly<Record<string, Timeline>>;

/** Where nothing is loaded yet: what comes next has the seq `after + 1`. */
export function blank(epoch: number, after: number, firstSeq: number): Timeline {
  return { epoch, from: after + 1, to: after, firstSeq, lost: false, events: [], loading: false, problem: null };
}

/** The index of the first event with this seq or a later one. */
export function indexOf(events: readonly TimelineEvent[], seq: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle]?.seq ?? 0) < seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

function takenBack(message: Message, by: string, at: number): Message {
  return { ...message, content: null, deletedAt: at, deletedBy: by };
}

/** What of these events is shown, and which messages they take back. */
function sort(events: readonly RoomEvent[]): {
  shown: TimelineEvent[];
  deletions: (RoomEvent & { kind: "deletion" })[];
} {
  const shown: TimelineEvent[] = [];
  const deletions: (RoomEvent & { kind: "deletion" })[] = [];
  for (const event of events) {
    if (event.kind === "message" || event.kind === "notice") {
      shown.push(event);
    } else if (event.kind === "deletion") {
      deletions.push(event);
    }
  }
  return { shown, deletions };
}

function takeBack(events: TimelineEvent[], deletions: readonly (RoomEvent & { kind: "deletion" })[]): void {
  for (const { target, by, at } of deletions) {
    const index = indexOf(events, target);
    const event = events[index];
    if (event?.kind === "message" && event.seq === target && event.message.content !== null) {
      events[index] = { ...event, message: takenBack(event.message, by, at) };
    }
  }
}

/** The next events of a room, up to `to`. What is there already is passed over. */
export function append(
  timeline: Timeline | undefined,
  epoch: number,
  to: number,
  incoming: readonly RoomEvent[],
): Timeline {
  const first = incoming[0]?.seq ?? to + 1;
  const base = timeline ?? blank(epoch, first - 1, 1);
  const fresh = incoming.filter((event) => event.seq > base.to);
  if (fresh.length === 0 && to <= base.to) {
    return base;
  }
  const { shown, deletions } = sort(fresh);
  let { events } = base;
  if (shown.length > 0 || deletions.length > 0) {
    const next = [...events, ...shown];
    takeBack(next, deletions);
    events = next;
  }
  return { ...base, epoch, events, to: Math.max(base.to, to) };
}

/** A page that ends where the timeline begins (or overlaps it). */
export function prepend(timeline: Timeline | undefined, page: Page): Timeline {
  if (!timeline) {
    return fromPage(page, false);
  }
  if (page.epoch !== timeline.epoch || page.to < timeline.from - 1 || page.from >= timeline.from) {
    // It does not fit (any more): the timeline was replaced while the page was on its way.
    return { ...timeline, loading: false, firstSeq: Math.max(timeline.firstSeq, page.firstSeq) };
  }
  const { shown, deletions } = sort(page.events.filter((event) => event.seq < timeline.from));
  const events = [...shown, ...timeline.events];
  takeBack(events, deletions);
  return { ...timeline, events, from: page.from, firstSeq: page.firstSeq, loading: false, problem: null };
}

/** A timeline that begins with a page. */
export function fromPage(page: Page, lost: boolean): Timeline {
  const { shown, deletions } = sort(page.events);
  takeBack(shown, deletions);
  const { epoch, from, to, firstSeq } = page;
  return { epoch, from, to, firstSeq, lost, events: shown, loading: false, problem: null };
}

/** Nobody looks at it: of a long one only the newest part stays, the rest comes again by scrolling back. */
export function trim(timeline: Timeline): Timeline {
  if (timeline.events.length <= LONG || timeline.loading) {
    return timeline;
  }
  const events = timeline.events.slice(-SHORT);
  return { ...timeline, events, from: events[0]?.seq ?? timeline.from };
}

/** Events of a timeline that nobody looks at, before it is cut, and after. */
const LONG = 2000;
const SHORT = 500;

/** Replaces one room's timeline. */
export function put(timelines: Timelines, roomId: string, timeline: Timeline): Timelines {
  return timelines[roomId] === timeline ? timelines : { ...timelines, [roomId]: timeline };
}

/** All but one room's. */
export function without<T>(map: Readonly<Record<string, T>>, key: string): Readonly<Record<string, T>> {
  if (!Object.hasOwn(map, key)) {
    return map;
  }
  return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key));
}
