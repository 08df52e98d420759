// Rows that come in front wait until the list has heard where it is scrolled to: within the same frame, so nobody sees them wait.

import { useLayoutEffect, useState } from "react";
import { flushSync } from "react-dom";
import type { TimelineView } from "@/model";
import { hear, type List } from "./place";
import { isPrepended } from "./rows";

/** The view as the list may show it now. */
export function useHeard(view: TimelineView, getList: () => List | null): TimelineView {
  const [shown, setShown] = useState(view);
  const waits = shown !== view && isPrepended(shown.rows, view.rows);
  if (shown !== view && !waits) setShown(view);
  useLayoutEffect(() => {
    if (!waits) return undefined;
    let wanted = true;
    // After the commit: what virtua hears it may want to draw at once, and so do we, before the person can scroll on.
    queueMicrotask(() => {
      if (!wanted) return;
      const list = getList();
      if (list !== null) hear(list);
      flushSync(() => setShown(view));
    });
    return () => {
      wanted = false;
    };
  }, [waits, view, getList]);
  return waits ? shown : view;
}
