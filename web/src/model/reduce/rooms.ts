// Rooms: what the server says of them, and what follows from their events.

import type { RoomEvent } from "../changes";
import type { Timeline } from "../state";
import type { Content, Preview, Room, UserId } from "../types";

/** A room as told now, beside what was known: read markers and numbers never go back within one telling. */
export function merge(known: Room | undefined, told: Room): Room {
  if (!known?.joined || known.epoch !== told.epoch) {
    return told;
  }
  const next: Room = {
    ...told,
    lastNumber: Math.max(told.lastNumber, known.lastNumber),
    readNumber: Math.max(told.readNumber, known.readNumber),
    lastAt: Math.max(told.lastAt, known.lastAt),
    preview: told.preview ?? known.preview,
    asOf: Math.max(told.asOf, known.asOf),
  };
  return same(known, next) ? known : next;
}

function same(a: Room, b: Room): boolean {
  return (Object.keys(b) as (keyof Room)[]).every((key) => a[key] === b[key]);
}

/** The room after events of its own; `me` counts as having read what one said oneself. */
export function afterEvents(room: Room, events: readonly RoomEvent[], me: UserId | null): Room {
  let next = room;
  for (const event of events) {
    next = afterEvent(next, event, me);
  }
  return next;
}

function afterEvent(room: Room, event: RoomEvent, me: UserId | null): Room {
  const news = event.seq > room.asOf;
  if (event.kind === "message") {
    const { message } = event;
    const number = message.number ?? 0;
    return {
      ...room,
      lastNumber: Math.max(room.lastNumber, number),
      // Whoever speaks has read what stands above: no own message is ever unread.
      readNumber: message.userId === me ? Math.max(room.readNumber, number) : room.readNumber,
      lastAt: Math.max(room.lastAt, message.at),
      preview: previewOf(message),
    };
  }
  if (event.kind === "notice") {
    const { notice } = event;
    const came = notice.what === "joined" || notice.what === "added";
    const went = notice.what === "left" || notice.what === "removed";
    return {
      ...room,
      lastAt: Math.max(room.lastAt, notice.at),
      members: news ? Math.max(0, room.members + (came ? 1 : went ? -1 : 0)) : room.members,
      role: news && notice.what === "role" && notice.subject === me && notice.role ? notice.role : room.role,
    };
  }
  return room;
}

const PREVIEW_CHARS = 200;

export function previewOf(message: { userId: UserId; at: number; content: Content | null }): Preview {
  const { userId, at, content } = message;
  const text = content?.kind === "text" ? content.text.slice(0, PREVIEW_CHARS) : "";
  return { userId, at, text, deleted: content === null };
}

/** The newest message of what is loaded, as a preview. */
export function newestPreview(timeline: Timeline): Preview | null {
  for (let index = timeline.events.length - 1; index >= 0; index -= 1) {
    const event = timeline.events[index];
    if (event?.kind === "message") {
      return previewOf(event.message);
    }
  }
  return null;
}
