// Requests that wait for their answer, by id.

import type { ClientFrame } from "../protocol";
import type { Answer } from "./effects";

/** How long an answer may take. */
const WAIT_MS = 20_000;

export class Requests {
  readonly #waiting = new Map<
    string,
    { readonly frame: ClientFrame; readonly until: number; readonly done: (answer: Answer) => void }
  >();

  add(frame: ClientFrame & { readonly id: string }, now: number, done: (answer: Answer) => void): void {
    this.#waiting.set(frame.id, { frame, until: now + WAIT_MS, done });
  }

  /** What was asked under this id. */
  frame(id: string): ClientFrame | undefined {
    return this.#waiting.get(id)?.frame;
  }

  /** Whether somebody waited for this. */
  answer(id: string | undefined, answer: Answer): boolean {
    const waiting = id === undefined ? undefined : this.#waiting.get(id);
    if (id === undefined || !waiting) {
      return false;
    }
    this.#waiting.delete(id);
    waiting.done(answer);
    return true;
  }

  /** The connection is gone: no answer comes any more. */
  lost(): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { done } of all) {
      done({ is: "lost" });
    }
  }

  /** Gives up what waited for too long; whether there was such. */
  late(now: number): boolean {
    const late = [...this.#waiting].filter(([, { until }]) => until <= now);
    for (const [id, { done }] of late) {
      this.#waiting.delete(id);
      done({ is: "lost" });
    }
    return late.length > 0;
  }

  deadline(): number | null {
    let next: number | null = null;
    for (const { until } of this.#waiting.values()) {
      next = Math.min(next ?? until, until);
    }
    return next;
  }
}
