// What the list has to know of its rows: which were put in front, which take the focus, which are new below.

import type { Row } from "@/model";

/** Rows that the arrow keys stop at. */
export function isStop(row: Row): boolean {
  return row.kind === "message" || row.kind === "notice";
}

/** Whether `next` has rows in front of those of `before`: the list then holds its place from the end. */
export function isPrepended(before: readonly Row[], next: readonly Row[]): boolean {
  const at = before.findIndex(isStop);
  const anchor = before[at];
  if (anchor === undefined) return false;
  return next.findIndex((row) => row.key === anchor.key) > at;
}

/** The place of a row, or -1. */
export function placeOf(rows: readonly Row[], key: string | null): number {
  return key === null ? -1 : rows.findIndex((row) => row.key === key);
}

/** The next row that takes the focus, going up (-1) or down (1) from `from`; -1 when there is none. */
export function nextStop(rows: readonly Row[], from: number, step: -1 | 1): number {
  for (let at = from + step; at >= 0 && at < rows.length; at += step) {
    const row = rows[at];
    if (row !== undefined && isStop(row)) return at;
  }
  return -1;
}

/** The last row that takes the focus. */
export function lastStop(rows: readonly Row[]): number {
  return nextStop(rows, rows.length, -1);
}

/** The seq of the newest stored row at or above this place: what was read when this row is on screen. */
export function seqAt(rows: readonly Row[], place: number): number | undefined {
  for (let at = Math.min(place, rows.length - 1); at >= 0; at -= 1) {
    const row = rows[at];
    if (row?.kind === "message" && row.message.seq !== undefined) return row.message.seq;
    if (row?.kind === "notice") return row.notice.seq;
  }
  return undefined;
}

/** Messages of others below the row of this key. */
export function countBelow(rows: readonly Row[], key: string | null): number {
  const from = placeOf(rows, key);
  if (from < 0) return 0;
  let count = 0;
  for (let at = from + 1; at < rows.length; at += 1) {
    const row = rows[at];
    if (row?.kind === "message" && !row.own) count += 1;
  }
  return count;
}
