// What opens beside a button: a menu, the emoji picker.

import type { ReactNode } from "react";
import { Popover as AriaPopover } from "react-aria-components";

/** Where the button is or, where it is scrolled out of sight, the place at the edge of the screen that is nearest to it. */
function rectInSight(target: Element): DOMRect {
  const { x, y, width, height } = target.getBoundingClientRect();
  const { visualViewport } = window;
  const start = visualViewport?.offsetTop ?? 0;
  const end = start + (visualViewport?.height ?? window.innerHeight);
  return new DOMRect(x, Math.max(start, Math.min(y, end - height)), width, height);
}

/** It stays on the screen: it turns over where there is more room on the other side, and scrolls where there is too little. */
export function Popover({
  placement = "bottom end",
  children,
}: {
  readonly placement?: "bottom end" | "top end";
  readonly children: ReactNode;
}): ReactNode {
  return (
    <AriaPopover className="popover" placement={placement} getTargetRect={rectInSight}>
      {children}
    </AriaPopover>
  );
}
