// Who people are: asks for those who are named somewhere and not known yet, a few at a time. What could not be had is asked for again later;
// who does not exist is not.

import type { Rest } from "@/client";
import type { Person, UserId } from "../types";
import { toPerson } from "../wire";

const AT_ONCE = 4;
/** When it is tried again, where the server does not say. */
const AGAIN_MS = 5000;

export interface NamesOptions {
  readonly rest: Pick<Rest, "call">;
  readonly after: (ms: number, task: () => void) => () => void;
  readonly known: (userId: UserId) => boolean;
  readonly found: (person: Person) => void;
}

export class Names {
  readonly #options: NamesOptions;
  readonly #asked = new Set<UserId>();
  readonly #queue: UserId[] = [];
  #running = 0;
  #over = false;

  constructor(options: NamesOptions) {
    this.#options = options;
  }

  /** Those of them who are not known are asked for. */
  want(userIds: Iterable<UserId>): void {
    for (const userId of userIds) {
      if (!this.#asked.has(userId) && !this.#options.known(userId)) {
        this.#asked.add(userId);
        this.#queue.push(userId);
      }
    }
    while (!this.#over && this.#running < AT_ONCE && this.#queue.length > 0) {
      void this.#next();
    }
  }

  /** The connection is back: what could not be had is asked for again at once. */
  again(): void {
    for (const userId of this.#asked) {
      if (!this.#options.known(userId) && !this.#queue.includes(userId)) {
        this.#asked.delete(userId);
      }
    }
  }

  /** Nothing is asked any more. */
  stop(): void {
    this.#over = true;
  }

  async #next(): Promise<void> {
    const userId = this.#queue.shift();
    if (userId === undefined) {
      return;
    }
    const { rest, after, found } = this.#options;
    this.#running += 1;
    const answer = await rest.call("get_user", { path: { user_id: userId } });
    this.#running -= 1;
    if (this.#over) {
      return;
    }
    if (answer.ok) {
      found(toPerson(answer.value));
    } else if (answer.refusal.code !== "user_not_found") {
      after(answer.refusal.retryAfterMs ?? AGAIN_MS, () => {
        this.#asked.delete(userId);
        this.want([userId]);
      });
    }
    this.want([]);
  }
}
