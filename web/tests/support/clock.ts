// A clock that a test turns. Timers run in the order of their times; between them everything that was promised is let happen.

export class Clock {
  #now: number;
  #next = 1;
  readonly #timers = new Map<number, { at: number; task: () => void }>();

  constructor(now = 1_800_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): () => void {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + Math.max(0, ms), task });
    return () => this.#timers.delete(id);
  }

  /** Lets time pass, timer by timer. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      let first: [number, { at: number; task: () => void }] | null = null;
      for (const entry of this.#timers) {
        if (entry[1].at <= end && (first === null || entry[1].at < first[1].at)) {
          first = entry;
        }
      }
      if (first === null) {
        break;
      }
      this.#timers.delete(first[0]);
      this.#now = Math.max(this.#now, first[1].at);
      first[1].task();
      await settle();
    }
    this.#now = end;
  }

  /** A machine that sleeps: the time goes on, no timer comes. */
  sleep(ms: number): void {
    this.#now += ms;
  }
}

/** Lets everything happen that was promised and needs no time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn += 1) {
    await new Promise<void>((done) => setImmediate(done));
  }
}

/** Chance that a test can repeat (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
