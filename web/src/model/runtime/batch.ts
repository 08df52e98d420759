// Changes of the state, collected and handed to the store once a frame: under load the page renders what is new, not every step.

import type { Change } from "../changes";

export class Batch {
  readonly #apply: (changes: readonly Change[]) => void;
  readonly #soon: (task: () => void) => void;
  #waiting: Change[] = [];
  #scheduled = false;

  /** `soon` calls back with the next frame (or soon, where no frames are drawn). */
  constructor(apply: (changes: readonly Change[]) => void, soon: (task: () => void) => void) {
    this.#apply = apply;
    this.#soon = soon;
  }

  /** With the next frame. */
  add(...changes: readonly Change[]): void {
    this.#waiting.push(...changes);
    if (!this.#scheduled && this.#waiting.length > 0) {
      this.#scheduled = true;
      this.#soon(() => {
        this.#scheduled = false;
        this.flush();
      });
    }
  }

  /** All that waits, now: before the state is read, or when the person did something. */
  flush(): void {
    if (this.#waiting.length > 0) {
      const changes = this.#waiting;
      this.#waiting = [];
      this.#apply(changes);
    }
  }

  /** At once, with all that waits before it. */
  now(...changes: readonly Change[]): void {
    this.#waiting.push(...changes);
    this.flush();
  }
}
