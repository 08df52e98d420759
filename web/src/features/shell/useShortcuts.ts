// The keys that work everywhere. None of them is a single letter while somebody writes.

import { useEffect } from "react";
import { useNavigate } from "react-router";
import { type RoomListItem, selectOpenRoom, selectRoomList } from "@/model";
import { useDialogs } from "../shared/dialogs";
import { useModel } from "../shared/hooks";
import { isWriting } from "../shared/keys";
import { roomPath } from "../shared/paths";

/** The conversation before (-1) or after (1) the open one, in the order of the list; only unread ones when asked. */
export function neighbour(
  items: readonly RoomListItem[],
  open: string | null,
  step: -1 | 1,
  unreadOnly: boolean,
): RoomListItem | undefined {
  const order = [
    ...items.filter((item) => item.room.type !== "direct"),
    ...items.filter((item) => item.room.type === "direct"),
  ];
  const from = order.findIndex((item) => item.room.roomId === open);
  for (let count = 1; count <= order.length; count += 1) {
    const start = from < 0 && step < 0 ? 0 : from;
    const item = order[(start + step * count + order.length * 2) % order.length];
    if (item !== undefined && item.room.roomId !== open && (!unreadOnly || item.unread > 0)) return item;
  }
  return undefined;
}

/** Listens for the keys. */
export function useShortcuts(): void {
  const dialogs = useDialogs();
  const navigate = useNavigate();
  const items = useModel(selectRoomList);
  const open = useModel(selectOpenRoom);

  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.isComposing) return;
      const command = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (command && !event.altKey && key === "k") {
        event.preventDefault();
        if (dialogs.current === "switcher") dialogs.close();
        else dialogs.open("switcher");
        return;
      }
      // A dialog has the keyboard for itself.
      if (document.querySelector('[role="dialog"], [role="alertdialog"], [role="menu"]') !== null) return;
      if ((command && key === "/") || (event.key === "?" && !command && !event.altKey && !isWriting(event.target))) {
        event.preventDefault();
        dialogs.open("shortcuts");
      } else if (event.altKey && !command && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
        event.preventDefault();
        const to = neighbour(items, open, event.key === "ArrowUp" ? -1 : 1, event.shiftKey);
        if (to !== undefined) void navigate(roomPath(to.room.roomId));
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [dialogs, navigate, items, open]);
}
