// The connection as a machine by itself: whatever happens in whatever order, it keeps its promises.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Connection, deadline, type Effect, type Input, idle, step } from "./connection";

/** A machine with a clock and with what the world holds of it. */
class Bench {
  state: Connection = idle;
  now = 1_000_000;
  effects: Effect[] = [];
  /** Sockets that are open or opening. */
  sockets = new Set<number>();
  mostAtOnce = 0;

  input(input: Input, chance = 0.5): readonly Effect[] {
    const { state, effects } = step(this.state, input, this.now, chance);
    this.state = state;
    this.effects.push(...effects);
    for (const effect of effects) {
      if (effect.do === "open") this.sockets.add(effect.socket);
      if (effect.do === "close") this.sockets.delete(effect.socket);
    }
    this.mostAtOnce = Math.max(this.mostAtOnce, this.sockets.size);
    return effects;
  }
  isLive(): boolean {
    return this.state.phase.at === "live";
  }
  closed(code: number): readonly Effect[] {
    const { socket } = this.state;
    this.sockets.delete(socket);
    return this.input({ kind: "closed", socket, code });
  }
  pass(ms: number): void {
    const end = this.now + ms;
    for (let at = deadline(this.state); at !== null && at <= end; at = deadline(this.state)) {
      this.now = Math.max(this.now, at);
      this.input({ kind: "tick" });
    }
    this.now = end;
  }
  connect(): void {
    this.input({ kind: "start" });
    this.input({ kind: "token" });
    this.input({ kind: "opened", socket: this.state.socket });
    this.input({ kind: "heard", socket: this.state.socket, hello: true });
    expect(this.state.phase.at).toBe("live");
  }
}

it("token, socket, auth, hello: in this order", () => {
  const bench = new Bench();
  expect(bench.input({ kind: "start" })).toEqual([{ do: "token", fresh: false }]);
  expect(bench.input({ kind: "token" })).toEqual([{ do: "open", socket: 1 }]);
  expect(bench.input({ kind: "opened", socket: 1 })).toEqual([{ do: "auth" }]);
  expect(bench.state.since).toBe(bench.now);
  bench.input({ kind: "heard", socket: 1, hello: true });
  expect(bench.state).toMatchObject({ phase: { at: "live" }, since: 0, reason: null });
});

it("a socket that never opens, and one that never says hello, are given up", () => {
  for (const open of [false, true]) {
    const bench = new Bench();
    bench.input({ kind: "start" });
    bench.input({ kind: "token" });
    if (open) bench.input({ kind: "opened", socket: 1 });
    bench.pass(10_000);
    expect(bench.state.phase.at).toBe("waiting");
    expect(bench.sockets.size).toBe(0);
  }
});

it("quiet is asked about, and no answer is the end", () => {
  const bench = new Bench();
  bench.connect();
  bench.pass(24_999);
  expect(bench.effects.some((effect) => effect.do === "ask")).toBe(false);
  bench.pass(1);
  expect(bench.effects.at(-1)).toEqual({ do: "ask" });
  bench.input({ kind: "heard", socket: bench.state.socket, hello: false });
  bench.pass(25_000);
  bench.pass(10_000);
  expect(bench.effects).toContainEqual({ do: "lost" });
  // And at once a new one.
  expect(bench.state.phase.at).toBe("token");
});

it("where there is reason to doubt, the answer has to come sooner", () => {
  for (const kind of ["awake", "online", "offline"] as const) {
    const bench = new Bench();
    bench.connect();
    expect(bench.input({ kind })).toEqual([{ do: "ask" }]);
    bench.pass(4000);
    expect(bench.state.phase.at).not.toBe("live");
  }
});

it("a refused token is replaced at once; refused again and again, with waits", () => {
  const bench = new Bench();
  bench.connect();
  expect(bench.closed(4401)).toEqual([{ do: "lost" }, { do: "token", fresh: true }]);
  for (let n = 0; n < 10; n += 1) {
    bench.input({ kind: "token" });
    bench.closed(4401);
    bench.pass(n < 1 ? 0 : 20_000);
  }
  expect(bench.state.attempts).toBeGreaterThan(3);
});

describe("waits", () => {
  it("double, and begin anew after a connection that held", () => {
    const bench = new Bench();
    bench.connect();
    const waits: number[] = [];
    for (let n = 0; n < 10; n += 1) {
      bench.closed(1006);
      if (bench.state.phase.at === "waiting") waits.push(bench.state.phase.until - bench.now);
      bench.pass(20_000);
      bench.input({ kind: "token" });
    }
    expect(waits).toEqual([375, 750, 1500, 3000, 6000, 12_000, 15_000, 15_000, 15_000, 15_000]);
    bench.input({ kind: "opened", socket: bench.state.socket });
    bench.input({ kind: "heard", socket: bench.state.socket, hello: true });
    // Closed soon after: it does not count as good.
    bench.pass(9000);
    bench.closed(1006);
    expect(bench.state.phase).toEqual({ at: "waiting", until: bench.now + 15_000 });
    bench.pass(20_000);
    bench.input({ kind: "token" });
    bench.input({ kind: "opened", socket: bench.state.socket });
    bench.input({ kind: "heard", socket: bench.state.socket, hello: true });
    bench.pass(10_000);
    bench.closed(1006);
    expect(bench.state.phase).toEqual({ at: "waiting", until: bench.now + 375 });
  });

  it("end when the person, the network or the page says so", () => {
    for (const kind of ["now", "online", "awake"] as const) {
      const bench = new Bench();
      bench.connect();
      bench.closed(4503);
      expect(bench.input({ kind })).toEqual([{ do: "token", fresh: false }]);
    }
  });

  it("do not end early where the server drains", () => {
    const bench = new Bench();
    bench.connect();
    bench.input({ kind: "draining", waitMs: 3000 });
    bench.input({ kind: "online" });
    expect(bench.state.phase).toEqual({ at: "waiting", until: bench.now + 3500 });
  });
});

const input: fc.Arbitrary<Input | { readonly pass: number }> = fc.oneof(
  fc.constantFrom<Input>(
    { kind: "start" },
    { kind: "token" },
    { kind: "now" },
    { kind: "online" },
    { kind: "offline" },
    { kind: "awake" },
    { kind: "expiring" },
    { kind: "unanswered" },
    { kind: "stop" },
    { kind: "draining", waitMs: 100 },
    { kind: "noToken", ended: null, waitMs: 0 },
    { kind: "noToken", ended: "session_ended", waitMs: 0 },
  ),
  fc.record({ kind: fc.constant("opened" as const), socket: fc.nat(6) }),
  fc.record({ kind: fc.constant("heard" as const), socket: fc.nat(6), hello: fc.boolean() }),
  fc.record({
    kind: fc.constant("closed" as const),
    socket: fc.nat(6),
    code: fc.constantFrom(1000, 1006, 4400, 4401, 4403, 4410, 4429, 4501, 4503, 4504, 4509),
  }),
  fc.record({ pass: fc.nat(30_000) }),
);

it("whatever happens: one socket at most, never stuck, and what is wanted comes", () => {
  fc.assert(
    fc.property(fc.array(input, { maxLength: 60 }), (inputs) => {
      const bench = new Bench();
      for (const one of inputs) {
        if ("pass" in one) {
          bench.pass(one.pass);
        } else {
          if (one.kind === "closed") bench.sockets.delete(one.socket);
          bench.input(one);
        }
        expect(bench.sockets.size).toBeLessThanOrEqual(1);
        const { at } = bench.state.phase;
        // Either something is asked for, or a deadline is set, or it is over.
        expect(["idle", "stopped", "token"].includes(at) || deadline(bench.state) !== null).toBe(true);
        expect(bench.state.since > 0).toBe(!["idle", "live"].includes(at));
      }
      // From any state, with a world that works, it gets there.
      if (["idle", "stopped"].includes(bench.state.phase.at)) bench.input({ kind: "start" });
      for (let n = 0; n < 5 && !bench.isLive(); n += 1) {
        bench.input({ kind: "token" });
        bench.input({ kind: "opened", socket: bench.state.socket });
        bench.input({ kind: "heard", socket: bench.state.socket, hello: true });
        if (!bench.isLive()) bench.pass(25_000);
      }
      expect(bench.isLive()).toBe(true);
    }),
    { numRuns: 500 },
  );
});
