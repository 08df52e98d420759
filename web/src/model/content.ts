// The seam between what people write and what the server sees. Everything that is said goes out through `seal` and comes in through
// `open`, and nothing else of the app looks at `content` and `metadata` of a frame.
//
// Today both are the text itself. When rooms are end-to-end encrypted, `seal` makes ciphertext and `open` reads it (or says why it
// cannot): what is kept in this browser, searched and shown is `Content`, what waits in the outbox is kept sealed, so that a retry is
// the same to the byte.

import type { JsonObject } from "@/protocol";
import type { Content, RoomId } from "./types";

/** What goes over the wire. */
export interface Sealed {
  readonly content: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Keys of `metadata` that are the server's, not the sender's. */
const SERVERS_KEYS = new Set(["number", "epoch", "message_type", "deleted", "deleted_at", "event"]);

/** Makes what is sent to a room. */
export function seal(_roomId: RoomId, content: Content & { readonly kind: "text" }): Sealed {
  return content.extra ? { content: content.text, metadata: content.extra } : { content: content.text };
}

/** Reads what came from a room; null: it was taken back. */
export function open(_roomId: RoomId, content: string | undefined, metadata: JsonObject): Content | null {
  if (metadata["deleted"] === true) {
    return null;
  }
  if (content === undefined) {
    return { kind: "unreadable", reason: "newer" };
  }
  const extra = Object.entries(metadata).filter(([key]) => !SERVERS_KEYS.has(key));
  return extra.length === 0
    ? { kind: "text", text: content }
    : { kind: "text", text: content, extra: Object.fromEntries(extra) };
}

/** What a person wrote as it may be sent: one kind of line end, no half characters. */
export const tidy = (text: string): string => text.replace(/\r\n?/g, "\n").toWellFormed();

/** Control characters other than newline and tab; the server refuses them. */
const CONTROL = /[^\P{Cc}\n\t]/u;

/** Whether the server would take this text: 1 to `max` characters, not only white space, no control characters. */
export function mayBeSent(text: string, max: number): boolean {
  return text.trim() !== "" && !CONTROL.test(text) && countChars(text) <= max;
}

/** Characters as the server counts them: Unicode scalar values. */
export function countChars(text: string): number {
  let count = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    // The second half of a pair belongs to the first.
    count += unit >= 0xdc00 && unit <= 0xdfff ? 0 : 1;
  }
  return count;
}
