// Whether the window is such as a media query says, for what style sheets cannot say: which landmark and which heading something is.

import { useCallback, useSyncExternalStore } from "react";

/** One pane at a time; as in styles/shell.css. */
export const ONE_PANE = "(max-width: 39.99rem)";
/** The details stand where the room stands otherwise; as in styles/shell.css. */
export const TWO_PANES = "(max-width: 69.99rem)";

/** Follows a media query. */
export function useMedia(query: string): boolean {
  const watch = useCallback(
    (changed: () => void) => {
      const list = window.matchMedia(query);
      list.addEventListener("change", changed);
      return () => list.removeEventListener("change", changed);
    },
    [query],
  );
  return useSyncExternalStore(watch, () => window.matchMedia(query).matches);
}
