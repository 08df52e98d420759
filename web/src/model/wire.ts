// From the words of the protocol to those of the model.

import type { Refusal } from "@/client";
import {
  type EventFrame,
  isCode,
  type Participant,
  type RoomShape,
  type SessionShape,
  toFrame,
  type UnknownEvent,
  type UserShape,
} from "@/protocol";
import type { Page, RoomEvent } from "./changes";
import { open } from "./content";
import { clientCodes } from "./errorCodes";
import type { ClientCode, ListedRoom, Login, Member, Person, Problem, Room, RoomId, RoomNotice, UserId } from "./types";

export function toPerson(user: UserShape): Person {
  return {
    userId: user.user_id,
    username: user.username,
    displayName: user.display_name,
    admin: user.admin,
    ...(user.last_seen === undefined ? {} : { lastSeen: Date.parse(user.last_seen) }),
  };
}

export function toMember(one: Participant): Member {
  return {
    userId: one.user_id,
    username: one.username,
    displayName: one.display_name,
    role: one.role,
    status: one.status,
  };
}

export function toLogin(session: SessionShape): Login {
  return {
    sessionId: session.session_id,
    deviceId: session.device_id,
    createdAt: Date.parse(session.created_at),
    usedAt: Date.parse(session.used_at),
    expiresAt: Date.parse(session.expires_at),
    agent: session.agent,
    current: session.current,
  };
}

export function toRoom(room: RoomShape): Room {
  return {
    roomId: room.room_id,
    name: room.name ?? "",
    type: room.type,
    description: room.description ?? "",
    role: room.role ?? null,
    peer: room.peer ?? null,
    members: room.members,
    joined: room.role !== undefined,
    lastNumber: room.last_number,
    readNumber: room.read_number,
    lastAt: Date.parse(room.last_at),
    createdAt: Date.parse(room.created_at),
    retentionDays: room.retention_days ?? null,
    preview: null,
    asOf: room.last_seq,
    epoch: room.epoch,
  };
}

/** Rooms of lists and of the call for one room. */
export function toListed(
  room: Pick<RoomShape, "room_id" | "name" | "type" | "description" | "members" | "role">,
): ListedRoom {
  return {
    roomId: room.room_id,
    name: room.name ?? "",
    type: room.type,
    description: room.description ?? "",
    members: room.members,
    joined: room.role !== undefined,
  };
}

export function toProblem(refusal: Refusal, now: number): Problem {
  const { code, detail, field, retryAfterMs } = refusal;
  const ours = (clientCodes as readonly string[]).includes(code);
  return {
    code: isCode(code) ? code : ours ? (code as ClientCode) : "unknown",
    detail,
    ...(field === undefined ? {} : { field: field.replace(/^metadata\./, "") }),
    ...(retryAfterMs === undefined ? {} : { retryAt: now + retryAfterMs }),
  };
}

/** An event as it stands in a timeline. */
export function toEvent(frame: EventFrame | UnknownEvent): RoomEvent {
  switch (frame.type) {
    case "chat":
      return message(frame);
    case "delete": {
      const { target_seq: target } = frame.metadata;
      return { kind: "deletion", seq: frame.seq, target, by: frame.user_id, at: Date.parse(frame.timestamp) };
    }
    case "join":
    case "leave": {
      const { reason, by, subject } = frame.metadata;
      const what = WHAT[reason] ?? (frame.type === "join" ? "joined" : "left");
      return notice(frame, { what, by, subject });
    }
    case "system": {
      const { event, role, subject } = frame.metadata;
      const by = frame.user_id;
      if (event === "role" && role && subject) {
        return notice(frame, { what: "role", by, subject, role });
      }
      if (event === "settings") {
        return notice(frame, { what: "settings", by, subject: by, detail: frame.content ?? "" });
      }
      return { kind: "other", seq: frame.seq, at: Date.parse(frame.timestamp) };
    }
    case null:
      return { kind: "other", seq: frame.seq, at: 0 };
  }
}

const WHAT: Readonly<Record<string, RoomNotice["what"]>> = {
  joined: "joined",
  added: "added",
  left: "left",
  removed: "removed",
};

function message(frame: EventFrame & { type: "chat" }): RoomEvent {
  const { metadata, seq } = frame;
  const content = open(frame.room_id, frame.content, metadata);
  return {
    kind: "message",
    seq,
    message: {
      // One's own keep the id under which they were written, so that their row stays the same.
      key: frame.id ?? frame.message_id,
      roomId: frame.room_id,
      seq,
      messageId: frame.message_id,
      number: metadata.number,
      userId: frame.user_id,
      at: Date.parse(frame.timestamp),
      content,
      ...(content === null && metadata.deleted_at ? { deletedAt: Date.parse(metadata.deleted_at) } : {}),
      state: "sent",
    },
  };
}

function notice(
  frame: EventFrame,
  more: Pick<RoomNotice, "what" | "by" | "subject"> & Partial<Pick<RoomNotice, "role" | "detail">>,
): RoomEvent {
  const { seq, message_id: key, room_id: roomId } = frame;
  return { kind: "notice", seq, notice: { key, roomId, seq, at: Date.parse(frame.timestamp), ...more } };
}

/** A page of events that ends right before `before`, or at its newest event. */
export function toPage(
  roomId: RoomId,
  page: { messages: readonly unknown[]; first_seq: number; last_seq: number; epoch: number; more: boolean },
  before: number | null,
): Page {
  const events: RoomEvent[] = [];
  for (const one of page.messages) {
    const incoming = toFrame(one);
    if (incoming.kind === "event") {
      events.push(toEvent(incoming.event));
    }
  }
  const to = before === null ? page.last_seq : before - 1;
  const lowest = events[0]?.seq ?? to + 1;
  return {
    roomId,
    epoch: page.epoch,
    from: page.more && events.length > 0 ? lowest : Math.min(page.first_seq, lowest),
    to,
    firstSeq: page.first_seq,
    events,
  };
}

/** Everybody who is named by these events. */
export function namesIn(events: readonly RoomEvent[]): ReadonlySet<UserId> {
  const names = new Set<UserId>();
  for (const event of events) {
    if (event.kind === "message") {
      names.add(event.message.userId);
    } else if (event.kind === "notice") {
      names.add(event.notice.by);
      names.add(event.notice.subject);
    } else if (event.kind === "deletion") {
      names.add(event.by);
    }
  }
  return names;
}
