// One row of a timeline, whatever it is. Knows who its people are; the list knows where it stands.

import { memo, type ReactNode } from "react";
import type { Room, Row } from "@/model";
import { usePerson } from "../shared/hooks";
import { type MessageCommands, MessageRow } from "./MessageRow";
import { DayRow, NoticeRow, StartRow, UnreadRow } from "./NoticeRow";

interface Props {
  readonly row: Row;
  readonly room: Room;
  readonly title: string;
  readonly focusable: boolean;
  readonly now: number;
  readonly commands: MessageCommands;
}

/** One row. */
export const TimelineRow = memo(function TimelineRow(props: Props): ReactNode {
  const { row, room, title } = props;
  switch (row.kind) {
    case "start":
    case "lost":
      return (
        <StartRow title={title} direct={room.type === "direct"} lost={row.kind === "lost"} text={room.description} />
      );
    case "day":
      return <DayRow at={row.at} now={props.now} />;
    case "unread":
      return <UnreadRow />;
    case "message":
      return <MessageItem {...props} row={row} />;
    case "notice":
      return <NoticeItem {...props} row={row} />;
  }
}, same);

/** `now` matters to days only, and there only by the day. */
function same(a: Props, b: Props): boolean {
  return (
    a.row === b.row &&
    a.room === b.room &&
    a.title === b.title &&
    a.focusable === b.focusable &&
    a.commands === b.commands &&
    (a.row.kind !== "day" || a.now === b.now)
  );
}

function MessageItem({
  row,
  room,
  focusable,
  commands,
}: Props & { row: Extract<Row, { kind: "message" }> }): ReactNode {
  const author = usePerson(row.message.userId);
  const mayDelete = row.own || room.role === "owner" || room.role === "moderator";
  return (
    <MessageRow
      message={row.message}
      head={row.head}
      author={author}
      mayDelete={mayDelete}
      focusable={focusable}
      commands={commands}
    />
  );
}

function NoticeItem({ row, focusable }: Props & { row: Extract<Row, { kind: "notice" }> }): ReactNode {
  const by = usePerson(row.notice.by);
  const subject = usePerson(row.notice.subject);
  return <NoticeRow notice={row.notice} by={by} subject={subject} focusable={focusable} />;
}
