// One conversation in the list: its name, the newest line or what is being written, and what waits to be read or sent.

import { memo, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { shortWhen } from "@/i18n/time";
import { type Preview, type RoomListItem, selectMe } from "@/model";
import { Icon } from "@/ui/Icon";
import { plainText } from "../markup/plain";
import { useModel, usePerson } from "../shared/hooks";
import { roomPath } from "../shared/paths";
import { RoomMark } from "./RoomMark";

const BADGE_MAX = 99;

/** One conversation. */
export const RoomItem = memo(function RoomItem({
  item,
  current,
  focusable,
  now,
}: {
  readonly item: RoomListItem;
  readonly current: boolean;
  readonly focusable: boolean;
  readonly now: number;
}): ReactNode {
  const { t, i18n } = useTranslation();
  const { room, title, unread } = item;
  const name = title === "" ? t("common.somebody") : title;
  return (
    <li>
      <Link
        to={roomPath(room.roomId)}
        className="room-link"
        aria-current={current ? "page" : undefined}
        data-unread={unread > 0 || undefined}
        data-room={room.roomId}
        tabIndex={focusable ? 0 : -1}
      >
        <RoomMark type={room.type} peer={room.peer} title={name} status={item.status} />
        <span className="room-words">
          <span className="room-name truncate">
            <bdi>{name}</bdi>
          </span>
          <span className="room-preview truncate">
            <Line item={item} current={current} />
          </span>
        </span>
        <span className="room-side">
          <time dateTime={new Date(room.lastAt).toISOString()}>{shortWhen(room.lastAt, now, i18n.language)}</time>
          <Marks item={item} />
        </span>
      </Link>
    </li>
  );
});

function Line({ item, current }: { readonly item: RoomListItem; readonly current: boolean }): ReactNode {
  const { t } = useTranslation();
  // What is being written in the open room stands in its field already.
  if (item.draft.trim() !== "" && !current) {
    return (
      <>
        <span className="room-draft">{t("rooms.draft")}</span> <bdi>{item.draft}</bdi>
      </>
    );
  }
  const { preview, lastNumber, members, type } = item.room;
  // Something was said, but not yet heard here.
  if (preview === null && lastNumber > 0) {
    return type === "direct" ? t("rooms.directRoom") : t("room.members", { count: members });
  }
  if (preview === null) return t("rooms.quiet");
  return <Newest preview={preview} direct={type === "direct"} />;
}

function Newest({ preview, direct }: { readonly preview: Preview; readonly direct: boolean }): ReactNode {
  const { t } = useTranslation();
  const me = useModel(selectMe);
  const author = usePerson(preview.userId);
  if (preview.deleted) return t("rooms.takenBack");
  const own = me?.userId === preview.userId;
  const words = plainText(preview.text);
  if (direct && !own) return <bdi>{words}</bdi>;
  return (
    <>
      <bdi>{own ? t("common.you") : author.displayName}</bdi>: <bdi>{words}</bdi>
    </>
  );
}

function Marks({ item }: { readonly item: RoomListItem }): ReactNode {
  const { t } = useTranslation();
  if (item.failed > 0) {
    return (
      <span className="room-flag-failed">
        <Icon name="alert" size="small" />
        <span className="visually-hidden">{t("rooms.failed", { count: item.failed })}</span>
      </span>
    );
  }
  if (item.unread > 0) {
    return (
      <span className="badge">
        <span aria-hidden="true">{item.unread > BADGE_MAX ? t("rooms.manyUnread") : item.unread}</span>
        <span className="visually-hidden">{t("rooms.unread", { count: item.unread })}</span>
      </span>
    );
  }
  if (item.waiting > 0) {
    return (
      <span>
        <Icon name="clock" size="small" />
        <span className="visually-hidden">{t("rooms.waiting", { count: item.waiting })}</span>
      </span>
    );
  }
  return null;
}
