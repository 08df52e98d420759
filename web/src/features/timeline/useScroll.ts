// Where the list stands. It has a goal: the end, or a row; the goal holds while rows are measured and come, until the person scrolls.
// Rows that come in front move nothing. Says what is on screen, and asks for older rows before the first one is reached.
//
// Goals are reached by our own writes of `scrollTop`, never by virtua's `scrollToIndex`: that one goes on for 150 ms after each row that is
// measured, whatever the person does meanwhile, and took back up to three steps of scrolling. For the same reason what the page itself says of
// `scrollTop` is believed, not what virtua heard with the last scroll event.

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Row, TimelineView } from "@/model";
import { type Goal, type List, moveTo, reached } from "./place";
import { isPrepended, lastStop, placeOf } from "./rows";

/** As near to the end as counts as being there, in pixels. */
const END_PX = 48;
/** Older rows are asked for when so much is left above. */
const AHEAD_PX = 1600;
/** A goal that is not reached after so many steps is let go. */
const STEPS_MAX = 40;

/** What the list shows and how to move it. */
export interface Scroll {
  readonly shift: boolean;
  /** The first place is found: until then the list is not shown, so that nobody sees it move there. */
  readonly settled: boolean;
  readonly atEnd: boolean;
  /** The unread line lies above what is on screen and was not seen yet. */
  readonly lineAbove: boolean;
  /** Key of the last row when the end was left; null while there. */
  readonly leftAt: string | null;
  readonly onScroll: () => void;
  readonly onResize: () => void;
  /** The person does something that may scroll: pointer, key, wheel. */
  readonly onAct: () => void;
  /** The person goes up, or may: by wheel, finger or key. Nothing holds the list from then on. */
  readonly onLeave: () => void;
  readonly toEnd: () => void;
  readonly toKey: (key: string) => void;
}

interface Position {
  goal: Goal | null;
  /** The person did something since the goal was set. */
  acted: boolean;
  placed: boolean;
  offset: number;
  steps: number;
  /** The goal is reached, and the end is on screen: what comes is followed. */
  endToo: boolean;
}

/** Drives the list of one room; the component is keyed by the room. */
export function useScroll(
  getList: () => List | null,
  view: TimelineView,
  events: { readonly onSeen: (place: number) => void; readonly onNearStart: () => void },
): Scroll {
  const { rows, unreadKey } = view;
  const [before, setBefore] = useState<readonly Row[]>(rows);
  const [shift, setShift] = useState(false);
  const [settled, setSettled] = useState(false);
  const [atEnd, setAtEnd] = useState(true);
  const [leftAt, setLeftAt] = useState<string | null>(null);
  const [lineSeen, setLineSeen] = useState(false);
  const [lineAbove, setLineAbove] = useState(false);
  const position = useRef<Position>({ goal: null, acted: false, placed: false, offset: 0, steps: 0, endToo: false });
  const latest = useRef({ rows, events, unreadKey });

  if (before !== rows) {
    setBefore(rows);
    setShift(isPrepended(before, rows));
  }

  useLayoutEffect(() => {
    latest.current = { rows, events, unreadKey };
  });

  const aim = useCallback(
    (goal: Goal) => {
      Object.assign(position.current, { goal, acted: false, steps: 0 });
      moveTo(getList(), latest.current.rows, goal);
    },
    [getList],
  );
  const toEnd = useCallback(() => aim({ kind: "end" }), [aim]);
  const toKey = useCallback((key: string) => aim({ kind: "row", key }), [aim]);

  const look = useCallback(() => {
    const list = getList();
    const here = position.current;
    const now = latest.current;
    if (list === null || now.rows.length === 0 || !here.placed) return;
    const offset = list.box.scrollTop;
    const { scrollSize: size, viewportSize } = list.sizes;
    const near = size - offset - viewportSize <= END_PX;
    // Rows that are measured move the end away; only somebody who scrolls up leaves it.
    if (here.acted && near) here.goal = { kind: "end" };
    else if (here.acted && (here.goal?.kind === "row" || offset < here.offset - 1)) here.goal = null;
    here.offset = offset;
    const arrived = here.goal === null || reached(list, now.rows, here.goal);
    if (!arrived && here.goal !== null && here.steps < STEPS_MAX) {
      here.steps += 1;
      moveTo(list, now.rows, here.goal);
    }
    if (arrived || here.steps >= STEPS_MAX) setSettled(true);
    here.endToo = arrived && near;
    const there = here.goal?.kind === "end" || (arrived && near);
    setAtEnd(there);
    setLeftAt((key) => (there ? null : (key ?? now.rows.at(-1)?.key ?? null)));
    const top = list.sizes.findItemIndex(offset);
    const bottom = there ? now.rows.length - 1 : list.sizes.findItemIndex(offset + viewportSize - 8);
    const line = placeOf(now.rows, now.unreadKey);
    if (line >= top && line <= bottom && line >= 0) setLineSeen(true);
    setLineAbove(line >= 0 && line < top);
    if (!arrived) return;
    now.events.onSeen(bottom);
    if (offset < AHEAD_PX) now.events.onNearStart();
  }, [getList]);

  // The first place: the unread line, or the end. Afterwards the goal holds.
  useLayoutEffect(() => {
    if (view.empty !== "filled") return;
    const here = position.current;
    const line = placeOf(rows, unreadKey);
    if (here.placed) {
      if (here.goal?.kind === "row" && here.endToo) toEnd();
      else if (here.goal !== null) aim(here.goal);
    } else {
      here.placed = true;
      aim(line >= 0 && unreadKey !== null ? { kind: "row", key: unreadKey } : { kind: "end" });
      // Few rows stand where they should at once.
      look();
    }
  }, [rows, unreadKey, view.empty, aim, toEnd, look]);

  // An own message always shows itself.
  const lastOwn = ownEnd(rows);
  const lastOwnBefore = useRef(lastOwn);
  useLayoutEffect(() => {
    if (lastOwn !== null && lastOwn !== lastOwnBefore.current) toEnd();
    lastOwnBefore.current = lastOwn;
  }, [lastOwn, toEnd]);

  // What is on screen changes with the rows and when the window comes back.
  useEffect(() => {
    window.addEventListener("focus", look);
    document.addEventListener("visibilitychange", look);
    return () => {
      window.removeEventListener("focus", look);
      document.removeEventListener("visibilitychange", look);
    };
  }, [look]);
  useEffect(() => {
    const frame = requestAnimationFrame(look);
    return () => {
      cancelAnimationFrame(frame);
    };
  });

  const onResize = useCallback(() => {
    const { goal, placed } = position.current;
    if (goal?.kind === "end" && placed) moveTo(getList(), latest.current.rows, goal);
    look();
  }, [getList, look]);
  const onAct = useCallback(() => {
    position.current.acted = true;
  }, []);
  const frame = useRef(0);
  const onLeave = useCallback(() => {
    Object.assign(position.current, { acted: true, goal: null });
    // Who is at the end still, or came to it, stays there.
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(look);
  }, [look]);

  return {
    shift,
    settled,
    atEnd,
    lineAbove: lineAbove && !lineSeen,
    leftAt,
    onScroll: look,
    onResize,
    onAct,
    onLeave,
    toEnd,
    toKey,
  };
}

/** The key of the last row while it is an own message on its way. */
function ownEnd(rows: readonly Row[]): string | null {
  const row = rows[lastStop(rows)];
  return row?.kind === "message" && row.own && row.message.state !== "sent" && row.message.state !== "failed"
    ? row.key
    : null;
}
