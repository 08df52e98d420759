// What is written and not sent, kept a moment after it was written, and told to the other tabs.

import type { RoomId } from "../types";
import type { Environment } from "./environment";
import type { Storage } from "./storage";

const WAIT_MS = 300;

export class Drafts {
  readonly #env: Environment;
  readonly #storage: Storage;
  readonly #waiting = new Map<RoomId, { readonly text: string; readonly stop: () => void }>();

  constructor(env: Environment, storage: Storage) {
    this.#env = env;
    this.#storage = storage;
  }

  put(roomId: RoomId, text: string): void {
    this.#waiting.get(roomId)?.stop();
    if (text === "") {
      this.#waiting.delete(roomId);
      this.#keep(roomId, text);
    } else {
      const stop = this.#env.after(WAIT_MS, () => {
        this.#waiting.delete(roomId);
        this.#keep(roomId, text);
      });
      this.#waiting.set(roomId, { text, stop });
    }
  }

  /** The page may go: all that waits, now. */
  flush(): void {
    for (const [roomId, { text, stop }] of this.#waiting) {
      stop();
      this.#keep(roomId, text);
    }
    this.#waiting.clear();
  }

  #keep(roomId: RoomId, text: string): void {
    // A draft that cannot be kept is still in the page; the next change tries again.
    void this.#storage.putDraft(roomId, text).catch(() => undefined);
    this.#env.tabs.tell({ kind: "draft", roomId, text });
  }
}
