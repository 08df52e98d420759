// Events of one's own: the server does not send them back to the connection that they came from. Its ack says enough to make the same event
// that everybody else gets.

import type { ClientFrame, EventFrame, ServerAck } from "../protocol";
import type { Outgoing } from "./outbox";

/** The event of a message that was acked; null when the ack says too little. */
export function saidEvent(frame: ServerAck, message: Outgoing, me: string): (EventFrame & { type: "chat" }) | null {
  const { seq, room_id: roomId, message_id: messageId, timestamp, metadata } = frame;
  if (roomId === undefined || seq === undefined || messageId === undefined) {
    return null;
  }
  const { epoch, number } = metadata;
  return {
    type: "chat",
    id: message.id,
    timestamp,
    user_id: me,
    room_id: roomId,
    message_id: messageId,
    seq,
    content: message.content,
    metadata: { ...message.metadata, number: number ?? 0, epoch: epoch ?? 0, message_type: "text" },
  };
}

/** The event of a message that was taken back; null when the ack says too little. */
export function tookBackEvent(
  frame: ServerAck,
  asked: ClientFrame & { type: "delete" },
  me: string,
): (EventFrame & { type: "delete" }) | null {
  const { room_id: roomId, seq, message_id: messageId, timestamp, metadata } = frame;
  if (roomId === undefined || seq === undefined || messageId === undefined) {
    return null;
  }
  return {
    type: "delete",
    timestamp,
    user_id: me,
    room_id: roomId,
    message_id: messageId,
    seq,
    metadata: {
      target: asked.message_id ?? "",
      target_seq: asked.seq ?? 0,
      number: metadata.number ?? 0,
      epoch: metadata.epoch ?? 0,
      message_type: "system",
    },
  };
}
