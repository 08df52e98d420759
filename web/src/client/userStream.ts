// The log of what concerns the person and no single room, with its own position: the same rule as for rooms, and simpler, since a hole
// is filled at once and nothing is kept behind it.

import type { ClientFrame, Place, ServerStream } from "../protocol";

export class UserStream {
  #place: Place | null = null;
  #asked = false;

  /** `hello` told of all rooms, so what was missed is known: from here on it is news. */
  begin(place: Place): void {
    this.#place = place;
    this.#asked = false;
  }

  /** The connection is gone. */
  lost(): void {
    this.#asked = false;
  }

  /** An entry: `news`, or what is to be asked before it (it comes again), or nothing. */
  entry(frame: ServerStream): "news" | "ask" | null {
    const at = this.#place;
    if (at && frame.seq <= at.seq) {
      return null;
    }
    if (at && frame.seq > at.seq + 1) {
      return this.#asked ? null : "ask";
    }
    this.#place = { epoch: at?.epoch ?? 1, seq: frame.seq };
    return "news";
  }

  /** All up to `seq` was sent; whether there is more to ask for. */
  resumed(seq: number, more: boolean): boolean {
    this.#asked = false;
    if (this.#place && seq > this.#place.seq) {
      this.#place = { epoch: this.#place.epoch, seq };
    }
    return more;
  }

  /** What was missed. It is always answered: also the question whether the server is there. */
  question(): ClientFrame {
    this.#asked = true;
    return { type: "resume", metadata: { rooms: [], stream: this.#place ?? { epoch: 0, seq: 0 } } };
  }
}
