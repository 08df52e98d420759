// A room of the fake server: a log of events with its members. It knows nothing of connections; who is told is the server's part.

import type { EventFrame, JsonObject, RoomShape } from "@/protocol";

/** What an event says, before it has a place in a log. */
export interface Saying {
  readonly type: "chat" | "delete" | "join" | "leave";
  readonly content?: string;
}

/** What was answered to a message. */
export interface Sent {
  readonly seq: number;
  readonly content: string;
  readonly message_id: string;
  readonly timestamp: string;
  readonly number: number;
}

/** The `n`th identifier of a kind. */
export const uuid = (kind: number, n: number): string =>
  `01935000-${kind.toString(16).padStart(4, "0")}-7000-8000-${n.toString(16).padStart(12, "0")}`;

export class FakeRoom {
  readonly id: string;
  readonly name: string;
  type: "public" | "private" | "direct" = "public";
  epoch = 1;
  firstSeq = 1;
  events: EventFrame[] = [];
  readonly members = new Map<string, { role: "member" | "moderator" | "owner"; read: number }>();
  /** By user and id. */
  readonly sent = new Map<string, Sent>();

  /** The first of the members owns it. */
  constructor(id: string, name: string, members: readonly string[]) {
    this.id = id;
    this.name = name;
    for (const userId of members)
      this.members.set(userId, { role: this.members.size === 0 ? "owner" : "member", read: 0 });
  }

  /** How many messages there are. */
  get number(): number {
    return this.events.at(-1)?.metadata.number ?? 0;
  }

  /** The next event. */
  append(userId: string, timestamp: string, saying: Saying, more: JsonObject): EventFrame {
    const seq = this.events.length + 1;
    const number = this.number + (saying.type === "chat" ? 1 : 0);
    const message_type = saying.type === "chat" ? "text" : "system";
    const event = {
      ...saying,
      timestamp,
      user_id: userId,
      room_id: this.id,
      message_id: uuid(0xe, seq * 1000 + Number.parseInt(this.id.slice(-4), 16)),
      seq,
      metadata: { ...more, number, epoch: this.epoch, message_type },
    } as unknown as EventFrame;
    this.events.push(event);
    return event;
  }

  /** Blanks a message; gives its id. */
  blank(target: number, deleted_at: string): string {
    const event = this.events.find(({ seq }) => seq === target);
    if (event?.type === "chat") {
      const left = Object.fromEntries(Object.entries(event).filter(([name]) => name !== "content"));
      const metadata = { ...event.metadata, deleted: true, deleted_at };
      this.events[target - 1] = { ...(left as unknown as typeof event), metadata };
    }
    return event?.message_id ?? "";
  }

  /** Events after `seq` never happened. */
  restore(seq: number): void {
    this.epoch += 1;
    this.events = this.events.slice(0, seq);
    this.sent.clear();
  }

  page({ before, after, limit = 100 }: { before?: number; after?: number; limit?: number }): JsonObject {
    const readable = this.events.filter(({ seq }) => seq >= this.firstSeq);
    const left = readable.filter(
      ({ seq }) => (before === undefined || seq < before) && (after === undefined || seq > after),
    );
    const messages = after === undefined ? left.slice(-limit) : left.slice(0, limit);
    return {
      messages,
      first_seq: this.firstSeq,
      last_seq: this.events.length,
      epoch: this.epoch,
      more: messages.length < left.length,
    };
  }

  /** As somebody sees it. */
  shape(userId: string): RoomShape {
    const member = this.members.get(userId);
    return {
      room_id: this.id,
      name: this.name,
      type: this.type,
      ...(member ? { role: member.role } : {}),
      members: this.members.size,
      epoch: this.epoch,
      first_seq: this.firstSeq,
      last_seq: this.events.length,
      last_number: this.number,
      read_number: member?.read ?? 0,
      last_at: this.events.at(-1)?.timestamp ?? "2026-01-01T00:00:00.000Z",
      created_at: "2026-01-01T00:00:00.000Z",
    };
  }
}
