// One user's connection, from "it is wanted" to "it will not come back": a pure reducer. Inputs and the time go in, the next state
// and what is to be done come out. It knows sockets by number only, so that the late word of an old one is passed over.
//
// Promises: at most one socket at a time; after a loss it comes back by itself with growing waits, and never where a close code says
// that something has to change first; a way that died without a word is found out by a question that has to be answered.

import { comesBack } from "../protocol";
import { backoff } from "./backoff";

/** Why there is no connection. */
export type Reason =
  | "lost"
  | "draining"
  | "silent"
  | "slow"
  | "too_many"
  | "protocol"
  | "too_much"
  | "suspended"
  | "session_ended";

export type Phase =
  /** Not wanted. */
  | { readonly at: "idle" }
  /** Waits for an access token. */
  | { readonly at: "token" }
  /** The socket is being opened. */
  | { readonly at: "opening"; readonly until: number }
  /** The token was sent; `hello` is to come. */
  | { readonly at: "greeting"; readonly until: number }
  | { readonly at: "live"; readonly since: number }
  /** Until then, and then again. */
  | { readonly at: "waiting"; readonly until: number }
  /** It will not come back by itself. */
  | { readonly at: "stopped" };

export interface Connection {
  readonly phase: Phase;
  /** The number of the socket that counts. */
  readonly socket: number;
  /** Attempts that failed since it was last live for a while. */
  readonly attempts: number;
  readonly reason: Reason | null;
  /** Since when it is wanted and not live; 0 while it is live or not wanted. */
  readonly since: number;
  /** The next token has to be a new one: the last was refused. */
  readonly fresh: boolean;
  /** When the server was last heard. */
  readonly heard: number;
  /** The question that is to be answered, by when. */
  readonly question: number | null;
  /** The browser says that there is no network. A hint: it may be wrong. */
  readonly offline: boolean;
  /** The token that is on its way is for the connection that is open. */
  readonly renewing: boolean;
}

export type Input =
  | { readonly kind: "start" }
  | { readonly kind: "stop" }
  /** The person does not want to wait. */
  | { readonly kind: "now" }
  | { readonly kind: "token" }
  /** There is no token, for now (`ended` null) or for good. */
  | { readonly kind: "noToken"; readonly ended: "session_ended" | "suspended" | null; readonly waitMs: number }
  | { readonly kind: "opened"; readonly socket: number }
  /** Any frame; `hello` is told apart. */
  | { readonly kind: "heard"; readonly socket: number; readonly hello: boolean }
  | { readonly kind: "closed"; readonly socket: number; readonly code: number }
  | { readonly kind: "expiring" }
  | { readonly kind: "draining"; readonly waitMs: number }
  /** Something was not answered in time. */
  | { readonly kind: "unanswered" }
  | { readonly kind: "online" }
  | { readonly kind: "offline" }
  /** The page is looked at again, or the machine slept. */
  | { readonly kind: "awake" }
  | { readonly kind: "tick" };

export type Effect =
  | { readonly do: "open"; readonly socket: number }
  | { readonly do: "close"; readonly socket: number }
  /** Get a token; `fresh`: not the one that you have. */
  | { readonly do: "token"; readonly fresh: boolean }
  /** Send the token as the first frame, or to prolong. */
  | { readonly do: "auth" }
  /** Ask something that has to be answered. */
  | { readonly do: "ask" }
  /** What was shown as live is so no more. */
  | { readonly do: "lost" };

export interface Step {
  readonly state: Connection;
  readonly effects: readonly Effect[];
}

/** To open the socket, and to get `hello`. */
const OPEN_MS = 10_000;
const HELLO_MS = 10_000;
/** After this time without a frame a question is asked. */
const QUIET_MS = 25_000;
/** To answer it; less where there is reason to doubt. */
const ANSWER_MS = 10_000;
const DOUBT_MS = 4000;
/** Live for so long, a connection is taken for good: the waits begin anew. */
const GOOD_MS = 10_000;
/** A server that said that it restarts is restarting for so long, while nobody answers in its place. */
const RESTART_MS = 60_000;

export const idle: Connection = {
  phase: { at: "idle" },
  socket: 0,
  attempts: 0,
  reason: null,
  since: 0,
  fresh: false,
  heard: 0,
  question: null,
  offline: false,
  renewing: false,
};

/** What follows from an input at `now`; `chance` is from 0 to 1. */
export function step(before: Connection, input: Input, now: number, chance: number): Step {
  const state = rested(before, now);
  const { phase } = state;
  switch (input.kind) {
    case "start":
      return phase.at === "idle" || phase.at === "stopped"
        ? connect({ ...state, since: now, attempts: 0, reason: null, fresh: false })
        : same(state);
    case "stop":
      return { state: { ...idle, socket: state.socket + 1, offline: state.offline }, effects: shut(state) };
    case "now":
      return phase.at === "waiting" || (phase.at === "stopped" && mayTry(state.reason))
        ? connect({ ...state, since: state.since || now })
        : same(state);
    case "token":
      if (phase.at === "token") {
        const socket = state.socket + 1;
        const next = { ...state, socket, fresh: false, phase: { at: "opening", until: now + OPEN_MS } as const };
        return { state: next, effects: [{ do: "open", socket }] };
      }
      return phase.at === "live" && state.renewing
        ? { state: { ...state, renewing: false }, effects: [{ do: "auth" }] }
        : same(state);
    case "noToken":
      if (input.ended !== null) {
        return stop(state, input.ended, now);
      }
      if (phase.at === "token") {
        return wait(state, "lost", now, Math.max(input.waitMs, backoff(state.attempts, chance)));
      }
      // The old token is still good for a while; the server closes with 4401 when it is not.
      return same({ ...state, renewing: false });
    case "opened":
      return input.socket === state.socket && phase.at === "opening"
        ? { state: { ...state, phase: { at: "greeting", until: now + HELLO_MS } }, effects: [{ do: "auth" }] }
        : same(state);
    case "heard":
      return input.socket === state.socket ? heard(state, input.hello, now) : same(state);
    case "closed":
      return input.socket === state.socket ? closed(state, input.code, now, chance) : same(state);
    case "expiring":
      return phase.at === "live" && !state.renewing
        ? { state: { ...state, renewing: true }, effects: [{ do: "token", fresh: true }] }
        : same(state);
    case "draining":
      return phase.at === "live" ? wait(state, "draining", now, Math.round(input.waitMs + chance * 1000)) : same(state);
    case "unanswered":
      return phase.at === "live" ? wait(state, "silent", now, 0) : same(state);
    case "online":
      return retryOrAsk({ ...state, offline: false }, now);
    case "offline":
      return ask({ ...state, offline: true }, now, DOUBT_MS);
    case "awake":
      return retryOrAsk(state, now);
    case "tick":
      return tick(state, now, chance);
  }
}

/** When the next `tick` is wanted at the latest. */
export function deadline(state: Connection): number | null {
  const { phase } = state;
  switch (phase.at) {
    case "opening":
    case "greeting":
    case "waiting":
      return phase.until;
    case "live":
      return state.question ?? state.heard + QUIET_MS;
    case "idle":
    case "token":
    case "stopped":
      return null;
  }
}

/** Live for a while, it has failed no more: the next loss begins with a short wait. */
const rested = (state: Connection, now: number): Connection =>
  state.attempts > 0 && state.phase.at === "live" && now - state.phase.since >= GOOD_MS
    ? { ...state, attempts: 0 }
    : state;

const same = (state: Connection): Step => ({ state, effects: [] });

/** The socket that is open or opening is closed. */
function shut({ phase, socket }: Connection): Effect[] {
  switch (phase.at) {
    case "live":
      return [{ do: "close", socket }, { do: "lost" }];
    case "opening":
    case "greeting":
      return [{ do: "close", socket }];
    default:
      return [];
  }
}

function connect(state: Connection): Step {
  return {
    state: { ...state, phase: { at: "token" }, question: null, renewing: false },
    effects: [...shut(state), { do: "token", fresh: state.fresh }],
  };
}

function wait(state: Connection, why: Reason, now: number, ms: number): Step {
  const restarts = why === "lost" && state.reason === "draining" && now - state.since < RESTART_MS;
  const reason = restarts ? "draining" : why;
  return {
    state: {
      ...state,
      phase: { at: "waiting", until: now + ms },
      // Whatever the old socket still says is of no interest.
      socket: state.socket + 1,
      attempts: state.attempts + 1,
      reason,
      since: state.since || now,
      question: null,
      renewing: false,
    },
    effects: shut(state),
  };
}

function stop(state: Connection, reason: Reason, now: number): Step {
  return {
    state: {
      ...state,
      phase: { at: "stopped" },
      socket: state.socket + 1,
      reason,
      since: state.since || now,
      question: null,
      renewing: false,
    },
    effects: shut(state),
  };
}

/** Stopped, but the person may try: nothing says that it must fail. */
const mayTry = (reason: Reason | null): boolean => reason === "too_much" || reason === "protocol";

function heard(state: Connection, hello: boolean, now: number): Step {
  if (hello && state.phase.at === "greeting") {
    const phase = { at: "live", since: now } as const;
    return same({ ...state, phase, heard: now, since: 0, reason: null, question: null, fresh: false });
  }
  return same({ ...state, heard: now, question: null });
}

const REASONS: Readonly<Record<number, Reason>> = {
  4400: "protocol",
  4403: "suspended",
  4410: "session_ended",
  4429: "too_much",
  4501: "draining",
  4503: "slow",
  4504: "silent",
  4509: "too_many",
};

function closed(state: Connection, code: number, now: number, chance: number): Step {
  const { at } = state.phase;
  if (at === "idle" || at === "stopped" || at === "waiting" || at === "token") {
    return same(state);
  }
  // The socket is closed already: there is only the loss to tell.
  const lost = at === "live" ? [{ do: "lost" } as const] : [];
  const gone: Connection = { ...state, phase: { at: "waiting", until: now } };
  if (code === 4401) {
    // A new token is all that is needed, at once. When even new ones are refused again and again, with waits.
    const next = { ...gone, fresh: true };
    return joined(
      lost,
      state.attempts > 1
        ? wait(next, "lost", now, backoff(state.attempts, chance))
        : connect({ ...next, since: state.since || now, attempts: state.attempts + 1 }),
    );
  }
  const reason = REASONS[code] ?? "lost";
  // 1000 was not our wish (we do not listen to sockets that we closed): somebody on the way said it.
  return joined(
    lost,
    comesBack(code) || code === 1000
      ? wait(gone, reason, now, backoff(state.attempts, chance))
      : stop(gone, reason, now),
  );
}

const joined = (first: readonly Effect[], { state, effects }: Step): Step => ({
  state,
  effects: [...first, ...effects],
});

function ask(state: Connection, now: number, ms: number): Step {
  if (state.phase.at !== "live") {
    return same(state);
  }
  const until = Math.min(state.question ?? Number.POSITIVE_INFINITY, now + ms);
  return { state: { ...state, question: until }, effects: [{ do: "ask" }] };
}

function retryOrAsk(state: Connection, now: number): Step {
  return state.phase.at === "waiting" && state.reason !== "draining"
    ? connect({ ...state, attempts: 0 })
    : ask(state, now, DOUBT_MS);
}

function tick(state: Connection, now: number, chance: number): Step {
  const { phase } = state;
  switch (phase.at) {
    case "opening":
    case "greeting":
      return phase.until <= now ? wait(state, "lost", now, backoff(state.attempts, chance)) : same(state);
    case "waiting":
      return phase.until <= now ? connect(state) : same(state);
    case "live": {
      if (state.question !== null && state.question <= now) {
        // No answer: the way is dead. A new one at once.
        return wait(state, "silent", now, 0);
      }
      return state.question === null && now - state.heard >= QUIET_MS ? ask(state, now, ANSWER_MS) : same(state);
    }
    default:
      return same(state);
  }
}
