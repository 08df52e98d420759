// Writing and reading where the list is scrolled to. What virtua measured says how long it is; the page itself says where it stands: virtua
// knows that only as of the last scroll event.

import type { VListHandle } from "virtua";
import type { Row } from "@/model";
import { placeOf } from "./rows";

/** Where the list should stand: at its end, or at a row. */
export type Goal = { readonly kind: "end" } | { readonly kind: "row"; readonly key: string };

/** The list in the page. */
export interface List {
  /** The element that scrolls. */
  readonly box: HTMLElement;
  readonly sizes: VListHandle;
}

/** A row that was jumped to has so much above it. */
const ABOVE_PX = 48;

/** Where the list would stand for this goal, as far as there is space to scroll; null when the row is not there. */
function wanted({ sizes }: List, rows: readonly Row[], goal: Goal): number | null {
  const end = Math.max(0, sizes.scrollSize - sizes.viewportSize);
  if (goal.kind === "end") return end;
  const place = placeOf(rows, goal.key);
  return place < 0 ? null : Math.min(end, Math.max(0, sizes.getItemOffset(place) - ABOVE_PX));
}

/** Goes there, as far as it is known now; rows on the way are measured only then, so look again. */
export function moveTo(list: List | null, rows: readonly Row[], goal: Goal): void {
  if (list === null || rows.length === 0) return;
  const to = wanted(list, rows, goal);
  if (to !== null) list.box.scrollTop = to;
}

/** Whether the list stands there. */
export function reached(list: List, rows: readonly Row[], goal: Goal): boolean {
  const to = wanted(list, rows, goal);
  return to === null || (goal.kind === "end" ? to - list.box.scrollTop <= 2 : Math.abs(list.box.scrollTop - to) <= 2);
}

/** Goes just so far that the whole row is on screen. */
export function showRow({ box, sizes }: List, place: number): void {
  const top = sizes.getItemOffset(place);
  const bottom = top + sizes.getItemSize(place);
  if (top < box.scrollTop) box.scrollTop = top;
  else if (bottom > box.scrollTop + sizes.viewportSize) box.scrollTop = bottom - sizes.viewportSize;
}

/**
 * Lets virtua know where the list stands now, if it does not yet. Before rows are put in front of it: at the end of the list virtua writes where it
 * should stand from what it heard last, and scrolling since then would be taken back.
 */
export function hear({ box, sizes }: List): void {
  if (box.scrollTop !== sizes.scrollOffset) box.dispatchEvent(new Event("scroll"));
}
