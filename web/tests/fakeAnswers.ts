// What the fake server does with a frame of somebody who has signed in, and what it answers.

import type { ClientFrame, JsonObject } from "@/protocol";
import type { FakeRoom } from "./fakeRoom";
import type { Connection, FakeServer, FakeUser } from "./fakeServer";

type Send = (answer: JsonObject) => void;

/** Does what a frame asks; `send` takes the answer. */
export function answerFrame(
  server: FakeServer,
  connection: Connection,
  user: FakeUser,
  frame: ClientFrame,
  send: Send,
): void {
  const { user_id: me } = user.shape;
  const id = "id" in frame ? { id: frame.id } : {};
  const error = (code: string): void => send({ type: "error", ...id, content: code, metadata: { code, advice: "" } });
  const roomId = "room_id" in frame ? frame.room_id : null;
  const room = roomId === null ? undefined : server.rooms.get(roomId);
  if (roomId !== null && !room?.members.has(me)) {
    error(room?.type === "public" ? "not_member" : "room_not_found");
    return;
  }
  switch (frame.type) {
    case "chat": {
      if (!room) return;
      const key = `${me}/${frame.id}`;
      const before = room.sent.get(key);
      if (before && before.content !== frame.content) {
        error("id_reused");
        return;
      }
      const kept = before ?? chat(server, connection, room, user, frame);
      room.sent.set(key, kept);
      const { seq, message_id, timestamp, number } = kept;
      const metadata = { epoch: room.epoch, number, ...(before ? { duplicate: true } : {}) };
      send({ type: "ack", ...id, timestamp, room_id: room.id, message_id, seq, metadata });
      return;
    }
    case "delete": {
      if (!room) return;
      const { seq, message_id, timestamp } = server.takeBack(room, user, frame.seq ?? 0, connection);
      send({ type: "ack", ...id, timestamp, room_id: room.id, message_id, seq, metadata: { epoch: room.epoch } });
      return;
    }
    case "read": {
      if (!room) return;
      const event = room.events[(frame.seq ?? 1) - 1];
      const member = room.members.get(me);
      if (!event || !member) {
        error("message_not_found");
        return;
      }
      member.read = Math.max(member.read, event.metadata.number);
      server.stream(user, room, { event: "read", number: member.read });
      send({ type: "ack", ...id, timestamp: server.stamp(), room_id: room.id, metadata: {} });
      return;
    }
    case "history":
      if (room) send({ type: "history", ...id, room_id: room.id, metadata: room.page(frame.metadata ?? {}) });
      return;
    case "resume":
      for (const place of frame.metadata?.rooms ?? []) resume(server, send, user, place);
      if (frame.metadata?.stream) {
        send({ type: "resumed", ...id, seq: user.streamSeq, metadata: { more: false } });
      }
      return;
    case "rooms": {
      const from = Number(frame.metadata?.cursor ?? 0);
      const rooms = server.roomsOf(user);
      const more = rooms.length > from + 100;
      const metadata = {
        rooms: rooms.slice(from, from + 100),
        more_rooms: more,
        ...(more ? { cursor: String(from + 100) } : {}),
      };
      send({ type: "rooms", ...id, metadata });
      return;
    }
    case "typing": {
      if (!room) return;
      const metadata = { active: frame.metadata?.active ?? true };
      server.tell(room, connection, { type: "typing", user_id: me, room_id: room.id, metadata });
      return;
    }
    default:
      return;
  }
}

function chat(
  server: FakeServer,
  connection: Connection,
  room: FakeRoom,
  user: FakeUser,
  frame: ClientFrame & { type: "chat" },
) {
  const { content } = frame;
  const { seq, message_id, timestamp, metadata } = server.say(room, user, content, { connection, id: frame.id });
  return { seq, message_id, timestamp, number: metadata.number, content };
}

function resume(
  server: FakeServer,
  send: Send,
  user: FakeUser,
  place: { room_id: string; epoch: number; seq: number },
): void {
  const room = server.rooms.get(place.room_id);
  const reload = (reason: string): void => send({ type: "reload", room_id: place.room_id, metadata: { reason } });
  if (!room?.members.has(user.shape.user_id)) {
    reload("not_member");
  } else if (place.epoch !== room.epoch) {
    reload("epoch");
  } else if (place.seq > room.events.length) {
    reload("future");
  } else if (place.seq + 1 < room.firstSeq) {
    reload("retention");
  } else {
    const events = room.events.slice(place.seq, place.seq + server.resumeRows);
    // As in the real server, a resumed event does not carry the sender's id: a log keeps none.
    for (const event of events) send({ ...event });
    const seq = place.seq + events.length;
    send({ type: "resumed", room_id: room.id, seq, metadata: { more: seq < room.events.length } });
  }
}
