// The conversations: rooms and direct messages, newest activity first. The order stands still while the pointer or the focus is in
// the list. One item is in the tab order; the arrow keys move on from there.

import { type KeyboardEvent, type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { type RoomListItem, selectOpenRoom, selectRoomList, selectRoomsLoaded } from "@/model";
import { Button, IconButton } from "@/ui/Button";
import { Empty, Skeletons } from "@/ui/Feedback";
import { useDialogs } from "../shared/dialogs";
import { useModel } from "../shared/hooks";
import { useNow } from "../shared/useNow";
import { heldOrder } from "./order";
import { RoomItem } from "./RoomItem";

const idOf = (item: RoomListItem): string => item.room.roomId;

/** The list with its sections. */
export function RoomList({ onFind }: { readonly onFind: () => void }): ReactNode {
  const { t } = useTranslation();
  const dialogs = useDialogs();
  const loaded = useModel(selectRoomsLoaded);
  const fresh = useModel(selectRoomList);
  const open = useModel(selectOpenRoom);
  const now = useNow(60_000);
  const [pointed, setPointed] = useState(false);
  const [focused, setFocused] = useState(false);
  const [held, setHeld] = useState<readonly string[]>([]);

  if (!pointed && !focused) {
    const ids = fresh.map(idOf);
    if (ids.length !== held.length || ids.some((id, at) => id !== held[at])) setHeld(ids);
  }
  const items = heldOrder(fresh, held, idOf);
  const rooms = items.filter((item) => item.room.type !== "direct");
  const direct = items.filter((item) => item.room.type === "direct");
  const shown = [...rooms, ...direct];
  const stop = shown.some((item) => idOf(item) === open) ? open : (shown[0]?.room.roomId ?? null);

  if (!loaded) return <Skeletons rows={6} label={t("common.loading")} />;
  const section = (list: readonly RoomListItem[]): ReactNode => (
    <ul className="room-list">
      {list.map((item) => (
        <RoomItem
          key={idOf(item)}
          item={item}
          current={idOf(item) === open}
          focusable={idOf(item) === stop}
          now={now}
        />
      ))}
    </ul>
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveElementInteractions: only watches where the pointer and the focus are
    // biome-ignore lint/a11y/noStaticElementInteractions: only watches where the pointer and the focus are
    <div
      onPointerEnter={(event) => setPointed(event.pointerType === "mouse")}
      onPointerLeave={() => setPointed(false)}
      onFocus={(event) => setFocused(event.target.matches(":focus-visible"))}
      onBlur={() => setFocused(false)}
      onKeyDown={moveFocus}
    >
      <section className="room-section" aria-labelledby="rooms-head">
        <div className="room-section-head">
          <h2 id="rooms-head">{t("rooms.rooms")}</h2>
          <IconButton icon="plus" label={t("rooms.create")} onPress={() => dialogs.open("createRoom")} />
        </div>
        {rooms.length > 0 ? section(rooms) : <p className="room-section-empty">{t("rooms.noRooms")}</p>}
      </section>
      <section className="room-section" aria-labelledby="direct-head">
        <div className="room-section-head">
          <h2 id="direct-head">{t("rooms.direct")}</h2>
          <IconButton icon="plus" label={t("rooms.message")} onPress={() => dialogs.open("direct")} />
        </div>
        {direct.length > 0 ? section(direct) : <p className="room-section-empty">{t("rooms.noDirect")}</p>}
      </section>
      {items.length === 0 && <NothingYet onFind={onFind} />}
    </div>
  );
}

/** For phones, where the welcome page beside the list is not to be seen. */
function NothingYet({ onFind }: { readonly onFind: () => void }): ReactNode {
  const { t } = useTranslation();
  const dialogs = useDialogs();
  return (
    <div className="first-only">
      <Empty
        icon="message"
        title={t("rooms.welcome")}
        actions={
          <>
            <Button kind="primary" icon="compass" onPress={onFind}>
              {t("rooms.find")}
            </Button>
            <Button icon="plus" onPress={() => dialogs.open("createRoom")}>
              {t("rooms.create")}
            </Button>
          </>
        }
      >
        {t("rooms.noneText")}
      </Empty>
    </div>
  );
}

function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const links = [...event.currentTarget.querySelectorAll<HTMLElement>(".room-link")];
  const at = links.findIndex((link) => link.matches(":focus"));
  if (at < 0) return;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  links[to]?.focus();
}
