// The access token of this tab, and how it is renewed by the cookie. It lives in memory only.
//
// Refresh tokens work once, and the second use of one ends the whole session. So tabs of one browser take turns: only who holds the
// lock refreshes, and tells the others what came of it. A token that another tab got meanwhile is taken instead of a new one.

import type { SignedIn } from "../protocol";
import type { Refusal } from "./outbox";
import type { Answered } from "./rest";

export interface TokenOptions {
  readonly now: () => number;
  /** Calls `POST auth/refresh` with the cookie. */
  readonly refresh: () => Promise<Answered<SignedIn>>;
  /** Runs `task` while no other tab does (Web Locks). */
  readonly alone: <T>(task: () => Promise<T>) => Promise<T>;
  /** Tells the other tabs. */
  readonly tell: (token: SharedToken) => void;
}

/** A token as tabs hand it to each other. */
export interface SharedToken {
  readonly userId: string;
  readonly sessionId: string;
  readonly token: string;
  /** When it ends, by this machine's clock. */
  readonly until: number;
}

export type Renewed =
  | { readonly is: "token"; readonly token: string }
  /** The session is over. */
  | { readonly is: "ended"; readonly refusal: Refusal }
  /** Somebody else signed in in this browser meanwhile: the cookie is theirs. */
  | { readonly is: "other" }
  /** Not now: no network, or a server that is busy. */
  | { readonly is: "later"; readonly refusal: Refusal };

/** A token is not used in its last seconds: it would end on the way. */
const MARGIN_MS = 15_000;
/** What says that there is no session (any more). Everything else may pass. */
const OVER = new Set(["not_authenticated", "session_ended", "token_expired", "suspended", "auth_external"]);

export class Tokens {
  readonly #options: TokenOptions;
  #held: SharedToken | null = null;
  #running: Promise<Renewed> | null = null;

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  /** After signing in or up. */
  set(answer: SignedIn): void {
    this.#held = shared(answer, this.#options.now());
  }

  /** From another tab. One of another session is not ours: the person signed in anew there, and this tab is told so elsewhere. */
  taken(token: SharedToken): void {
    if (this.#held === null || (token.sessionId === this.#held.sessionId && token.until > this.#held.until)) {
      this.#held = token;
    }
  }

  clear(): void {
    this.#held = null;
  }

  /** A token that is good for a while; `fresh`: not the one that is held, it was refused or runs out. */
  get(fresh: boolean): Promise<Renewed> {
    const held = this.#held;
    if (held && !fresh && held.until - MARGIN_MS > this.#options.now()) {
      return Promise.resolve({ is: "token", token: held.token });
    }
    this.#running ??= this.#renew(held?.token ?? null).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** The first token of a page: by the cookie. Answers who one is. */
  async begin(): Promise<Answered<SignedIn>> {
    return this.#options.alone(async () => {
      const answer = await this.#options.refresh();
      this.#keep(answer);
      return answer;
    });
  }

  #renew(refused: string | null): Promise<Renewed> {
    return this.#options.alone(async () => {
      const held = this.#held;
      // Another tab was faster while this one waited for its turn.
      if (held && held.token !== refused && held.until - MARGIN_MS > this.#options.now()) {
        return { is: "token", token: held.token };
      }
      const answer = await this.#options.refresh();
      if (answer.ok && held && held.sessionId !== answer.value.session_id) {
        return { is: "other" };
      }
      this.#keep(answer);
      if (answer.ok) {
        return { is: "token", token: answer.value.access_token };
      }
      return { is: OVER.has(answer.refusal.code) ? "ended" : "later", refusal: answer.refusal };
    });
  }

  #keep(answer: Answered<SignedIn>): void {
    if (answer.ok) {
      this.#held = shared(answer.value, this.#options.now());
      this.#options.tell(this.#held);
    }
  }
}

function shared(answer: SignedIn, now: number): SharedToken {
  return {
    userId: answer.user.user_id,
    sessionId: answer.session_id,
    token: answer.access_token,
    until: now + answer.expires_in * 1000,
  };
}

/** Whether this answer to a refresh means that the session is over. */
export const isOver = (refusal: Refusal): boolean => OVER.has(refusal.code);
