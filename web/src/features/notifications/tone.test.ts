// When the tone sounds, and when there is silence. What it sounds like, a browser has to say (tests/browser/notify.test.mjs).

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { soundNews, soundTone } from "./tone";

const contexts: { closed: boolean; notes: number }[] = [];
let touched = true;
let held = false;

class FakeContext {
  readonly destination = null;
  readonly currentTime = 5;
  readonly told = { closed: false, notes: 0 };
  constructor() {
    contexts.push(this.told);
  }
  close(): Promise<void> {
    this.told.closed = true;
    return Promise.resolve();
  }
}

class FakeNode {
  readonly gain = { setValueAtTime: vi.fn(), linearRampToValueAtTime: vi.fn(), setTargetAtTime: vi.fn() };
  readonly #context: FakeContext;
  constructor(context: FakeContext) {
    this.#context = context;
  }
  connect(to: unknown): unknown {
    return to;
  }
  start(): void {
    this.#context.told.notes += 1;
  }
  stop(at: number): void {
    expect(at).toBeGreaterThan(5);
  }
}

const locks = {
  request: async (_name: string, _options: unknown, run: (lock: object | null) => Promise<void>) => {
    if (held) return run(null);
    held = true;
    await run({});
    held = false;
    return undefined;
  },
};

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", { AudioContext: FakeContext });
  vi.stubGlobal("AudioContext", FakeContext);
  vi.stubGlobal("OscillatorNode", FakeNode);
  vi.stubGlobal("GainNode", FakeNode);
  vi.stubGlobal("navigator", {
    locks,
    userActivation: {
      get hasBeenActive() {
        return touched;
      },
    },
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  contexts.length = 0;
  touched = true;
});

it("sounds two notes, and gives the device back", async () => {
  const done = soundTone();
  await vi.runAllTimersAsync();
  await done;
  expect(contexts).toEqual([{ closed: true, notes: 2 }]);
});

it("is silent where nobody has done anything yet, or where nothing can sound", async () => {
  touched = false;
  await soundTone();
  touched = true;
  vi.stubGlobal("window", {});
  await soundTone();
  expect(contexts).toEqual([]);
});

it("sounds once for news that come quickly, and again later", async () => {
  for (let n = 0; n < 20; n += 1) soundNews();
  await vi.runAllTimersAsync();
  expect(contexts).toHaveLength(1);
  soundNews();
  await vi.runAllTimersAsync();
  expect(contexts).toHaveLength(2);
});
