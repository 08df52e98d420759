// Own messages on their way: in which order and when they leave, and what their answers mean.
//
// Pure but for its own memory. Promises: in each room one at a time, in the order in which they were written, each with the same id
// until it is answered; not faster than the server allows; a message that failed lets the next one pass and waits for the person.

import type { ClientChat, ServerError } from "../protocol";

/** A message as it goes out. What is in it was sealed before (`model/content.ts`), so that a retry is the same to the byte. */
export interface Outgoing {
  readonly id: string;
  readonly roomId: string;
  readonly content: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Why it was not stored. */
export interface Refusal {
  readonly code: string;
  readonly detail: string;
  readonly field?: string;
  readonly retryAfterMs?: number;
}

/** What an error of the server says. */
export function toRefusal(frame: ServerError): Refusal {
  const { code, field, retry_after_ms: retryAfterMs } = frame.metadata;
  return {
    code,
    detail: frame.content,
    ...(field === undefined ? {} : { field }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

export type SendState =
  | { readonly is: "waiting"; readonly refusal: Refusal | null; readonly until: number }
  | { readonly is: "sending" }
  | { readonly is: "failed"; readonly refusal: Refusal };

export type OutboxEffect =
  | { readonly do: "send"; readonly frame: ClientChat }
  /** What is to be shown of it changed. */
  | { readonly do: "state"; readonly id: string; readonly state: SendState }
  /** No answer for a long time. */
  | { readonly do: "unanswered" };

interface Entry {
  readonly message: Outgoing;
  state: SendState;
  /** Sent on this connection at this time. */
  sentAt: number | null;
}

/** How long an answer may take before the connection is given up. */
const ANSWER_MS = 20_000;
/** Where the server asks to wait and does not say how long. */
const PAUSE_MS = 1000;
/** These go away by themselves. */
const PASSING = new Set(["rate_limited", "busy", "storage_unavailable", "draining", "internal", "timeout"]);

export class Outbox {
  readonly #rooms = new Map<string, Entry[]>();
  #effects: OutboxEffect[] = [];
  #connected = false;
  /** Only one tab of a browser sends. */
  #leading = false;
  /** All of one's messages wait until then: the rate is the user's. */
  #pausedUntil = 0;
  #rate = { perSecond: 10, burst: 20 };
  #tokens = 20;
  #filledAt = 0;

  effects(): readonly OutboxEffect[] {
    const out = this.#effects;
    this.#effects = [];
    return out;
  }

  /** Behind all others of its room. `failed`: it was kept as failed, and waits for the person. */
  add(message: Outgoing, now: number, failed: Refusal | null = null): void {
    const list = this.#rooms.get(message.roomId) ?? [];
    if (list.some((entry) => entry.message.id === message.id)) {
      return;
    }
    const state: SendState = failed ? { is: "failed", refusal: failed } : { is: "waiting", refusal: null, until: 0 };
    list.push({ message, state, sentAt: null });
    this.#rooms.set(message.roomId, list);
    this.tick(now);
  }

  /** The person wants a failed one to be tried again; it keeps its place. */
  retry(id: string, now: number): boolean {
    const entry = this.#find(id);
    if (entry?.state.is !== "failed") {
      return false;
    }
    this.#set(entry, { is: "waiting", refusal: null, until: 0 });
    this.tick(now);
    return true;
  }

  /** Thrown away, or done elsewhere (another tab). */
  remove(id: string, now: number): void {
    for (const [roomId, list] of this.#rooms) {
      const left = list.filter((entry) => entry.message.id !== id);
      if (left.length !== list.length) {
        if (left.length === 0) {
          this.#rooms.delete(roomId);
        } else {
          this.#rooms.set(roomId, left);
        }
      }
    }
    this.tick(now);
  }

  /** It was sent on this connection and is not answered yet. */
  awaited(id: string): boolean {
    return (this.#find(id)?.sentAt ?? null) !== null;
  }

  connected(limits: { readonly messages_per_second: number; readonly messages_burst: number }, now: number): void {
    this.#connected = true;
    this.#rate = { perSecond: limits.messages_per_second, burst: limits.messages_burst };
    this.#tokens = Math.min(this.#tokens, this.#rate.burst);
    this.tick(now);
  }

  /** The connection is gone: what was not answered will be sent again. */
  lost(): void {
    this.#connected = false;
    this.#forgetSent();
  }

  /** This tab sends from now on, or no more. */
  lead(leading: boolean, now: number): void {
    this.#leading = leading;
    if (!leading) {
      this.#forgetSent();
    }
    this.tick(now);
  }

  /** It is stored. Answers the message, if it was one of these. */
  acked(id: string, now: number): Outgoing | undefined {
    const entry = this.#find(id);
    if (!entry) {
      return undefined;
    }
    this.remove(id, now);
    return entry.message;
  }

  /** It is not stored. Answers whether it was one of these. */
  refused(id: string, refusal: Refusal, now: number): boolean {
    const entry = this.#find(id);
    if (!entry) {
      return false;
    }
    entry.sentAt = null;
    if (PASSING.has(refusal.code)) {
      const until = now + Math.max(20, refusal.retryAfterMs ?? PAUSE_MS);
      if (refusal.code === "rate_limited") {
        this.#pausedUntil = Math.max(this.#pausedUntil, until);
        this.#tokens = 0;
        this.#filledAt = now;
      }
      this.#set(entry, { is: "waiting", refusal, until });
    } else {
      this.#set(entry, { is: "failed", refusal });
    }
    this.tick(now);
    return true;
  }

  /** What is due leaves. */
  tick(now: number): void {
    this.#fill(now);
    let late = false;
    for (const list of this.#rooms.values()) {
      const first = list.find((entry) => entry.state.is !== "failed");
      if (!first) {
        continue;
      }
      if (first.sentAt !== null) {
        late ||= now - first.sentAt >= ANSWER_MS;
        continue;
      }
      const until = first.state.is === "waiting" ? first.state.until : 0;
      if (this.#connected && this.#leading && Math.max(until, this.#pausedUntil) <= now && this.#tokens >= 1) {
        this.#tokens -= 1;
        first.sentAt = now;
        this.#set(first, { is: "sending" });
        const { id, roomId, content, metadata } = first.message;
        const frame: ClientChat = { type: "chat", id, room_id: roomId, content, ...(metadata ? { metadata } : {}) };
        this.#effects.push({ do: "send", frame });
      }
    }
    if (late && this.#connected) {
      this.#effects.push({ do: "unanswered" });
    }
  }

  /** When `tick` is wanted at the latest. */
  deadline(now: number): number | null {
    if (!this.#connected || !this.#leading) {
      return null;
    }
    let next: number | null = null;
    for (const list of this.#rooms.values()) {
      const first = list.find((entry) => entry.state.is !== "failed");
      if (!first) {
        continue;
      }
      const until = first.state.is === "waiting" ? first.state.until : 0;
      const free =
        this.#tokens >= 1 ? now : this.#filledAt + Math.ceil(((1 - this.#tokens) * 1000) / this.#rate.perSecond);
      const at = first.sentAt !== null ? first.sentAt + ANSWER_MS : Math.max(until, this.#pausedUntil, free);
      next = Math.min(next ?? at, at);
    }
    return next;
  }

  /** What left still says "sending", for it may be stored; only the wait for its answer is over. */
  #forgetSent(): void {
    for (const list of this.#rooms.values()) {
      for (const entry of list) {
        entry.sentAt = null;
      }
    }
  }

  #fill(now: number): void {
    if (this.#filledAt === 0) {
      this.#filledAt = now;
    }
    const { perSecond, burst } = this.#rate;
    const gained = Math.max(0, now - this.#filledAt) * (perSecond / 1000);
    this.#tokens = Math.min(burst, this.#tokens + gained);
    this.#filledAt = now;
  }

  #find(id: string): Entry | undefined {
    for (const list of this.#rooms.values()) {
      const found = list.find((entry) => entry.message.id === id);
      if (found) {
        return found;
      }
    }
    return undefined;
  }

  #set(entry: Entry, state: SendState): void {
    entry.state = state;
    this.#effects.push({ do: "state", id: entry.message.id, state });
  }
}
