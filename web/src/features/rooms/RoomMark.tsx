// What stands before a room's name: the peer's picture in a direct room, otherwise a sign of its kind.

import type { ReactNode } from "react";
import type { RoomType, Status, UserId } from "@/model";
import { Avatar } from "@/ui/Avatar";
import { Icon } from "@/ui/Icon";

/** Decoration; the kind is also said in words where it matters. */
export function RoomMark({
  type,
  peer,
  title,
  status,
  size,
}: {
  readonly type: RoomType;
  readonly peer?: UserId | null | undefined;
  readonly title: string;
  readonly status?: Status | null | undefined;
  readonly size?: "small" | "large" | undefined;
}): ReactNode {
  if (type === "direct") return <Avatar id={peer ?? title} name={title} size={size} status={status ?? undefined} />;
  return (
    <span className="room-mark" data-size={size} aria-hidden="true">
      <Icon name={type === "public" ? "hash" : "lock"} />
    </span>
  );
}
