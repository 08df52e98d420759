// A room: its head, its messages, the field to write. Says so when it cannot be found, or when one is no longer in it.

import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import {
  closeRoom,
  openRoom,
  type Problem,
  type Room,
  selectOnlineCount,
  selectOpenRoom,
  selectRoom,
  selectRoomsLoaded,
  selectRoomTitle,
} from "@/model";
import { Button, IconButton } from "@/ui/Button";
import { Empty, Skeletons } from "@/ui/Feedback";
import { Composer } from "../composer/Composer";
import { RoomMark } from "../rooms/RoomMark";
import { useModel, useModelDispatch } from "../shared/hooks";
import { PaneHead } from "../shared/PaneHead";
import { detailsPath, FIND, HOME, roomPath } from "../shared/paths";
import { usePageTitle } from "../shared/usePageTitle";
import { Timeline } from "../timeline/Timeline";
import { JoinRoom } from "./JoinRoom";
import { Typing } from "./Typing";

/** The room of the address. */
export function RoomPage({ details }: { readonly details: boolean }): ReactNode {
  const roomId = useParams()["roomId"] ?? "";
  return <OneRoom key={roomId} roomId={roomId} details={details} />;
}

function OneRoom({ roomId, details }: { readonly roomId: string; readonly details: boolean }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const loaded = useModel(selectRoomsLoaded);
  const room = useModel((state) => selectRoom(state, roomId));
  const known = useModel((state) => selectRoomTitle(state, roomId));
  const [wasIn, setWasIn] = useState<string | null>(null);
  const title = known === "" ? t("common.somebody") : known;
  const joined = room?.joined === true;
  usePageTitle(room === undefined ? "" : title);

  if (joined && wasIn !== title) setWasIn(title);

  useEffect(() => {
    if (!joined) return undefined;
    void dispatch(openRoom(roomId));
    return () => {
      dispatch(closeRoom());
    };
  }, [dispatch, roomId, joined]);

  if (room?.joined) return <Inside room={room} title={title} details={details} />;
  if (wasIn !== null) return <Removed title={wasIn} />;
  if (!loaded) {
    return <Skeletons rows={7} kind="message" label={t("common.loading")} />;
  }
  return <JoinRoom roomId={roomId} />;
}

function Inside({
  room,
  title,
  details,
}: {
  readonly room: Room;
  readonly title: string;
  readonly details: boolean;
}): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { roomId } = room;
  const online = useModel((state) => selectOnlineCount(state, roomId));
  const opened = useModel(selectOpenRoom) === roomId;
  const field = useRef<HTMLTextAreaElement>(null);
  const frame = useRef<HTMLDivElement>(null);

  // Who has a keyboard writes at once; on a phone the keyboard would cover the messages.
  useEffect(() => {
    const element = field.current;
    if (element === null || !window.matchMedia("(pointer: fine)").matches) return;
    element.focus();
    element.setSelectionRange(element.value.length, element.value.length);
  }, []);

  const toField = useCallback(() => field.current?.focus(), []);
  const toMessages = useCallback(
    () => frame.current?.querySelector<HTMLElement>('[data-row][tabindex="0"]')?.focus(),
    [],
  );
  const kind = room.type === "direct" ? "directRoom" : room.type;
  const members = room.type === "direct" ? null : t("room.members", { count: room.members });
  const there = online === null || room.type === "direct" ? null : t("room.online", { count: online });
  const sub = [t(`rooms.${kind}`), members, there].filter((part) => part !== null).join(" · ");

  return (
    <div className="room" ref={frame}>
      <PaneHead
        title={title}
        level={1}
        lead={<RoomMark type={room.type} peer={room.peer} title={title} size="small" />}
        sub={sub}
        actions={
          <IconButton
            icon="people"
            label={t("room.details")}
            aria-expanded={details}
            onPress={() => void navigate(details ? roomPath(roomId) : detailsPath(roomId))}
          />
        }
      />
      {/* The unread line is fixed when the room is opened: only then is it known where to begin. */}
      {opened ? <Timeline room={room} title={title} onLeave={toField} /> : <div className="timeline" />}
      <Typing roomId={roomId} />
      <Composer roomId={roomId} title={title} field={field} onUp={toMessages} />
    </div>
  );
}

function Removed({ title }: { readonly title: string }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  return (
    <>
      <PaneHead title={title} level={1} />
      <Empty
        icon="alert"
        title={t("removed.title", { room: title })}
        actions={
          <Button kind="primary" onPress={() => void navigate(HOME)}>
            {t("room.toList")}
          </Button>
        }
      >
        {t("removed.text")}
      </Empty>
    </>
  );
}

/** Nothing that one may see. */
export function RoomNotFound({ problem }: { readonly problem: Problem }): ReactNode {
  const { t } = useTranslation();
  const hidden = problem.code === "room_not_found" || problem.code === "bad_request";
  return (
    <>
      <PaneHead title={t("room.notFound")} level={1} />
      <Empty
        icon="search"
        title={hidden ? t("room.notFound") : t(`error.${problem.code}`)}
        actions={
          <>
            <Link className="button" data-kind="primary" to={HOME}>
              {t("room.toList")}
            </Link>
            <Link className="button" data-kind="secondary" to={FIND}>
              {t("rooms.find")}
            </Link>
          </>
        }
      >
        {hidden ? t("room.notFoundText") : undefined}
      </Empty>
    </>
  );
}
