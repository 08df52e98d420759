// Calls of the REST interface: `fetch` is handed in. Nothing here throws; what went wrong is a `Refusal` with a stable code.
//
// A call with a token that ran out gets a new one and is made once more. No other call is repeated: whoever calls knows whether that
// would be right.

import { isCode, type Operation, type Operations, operations, parseJson, readAnswer, readProblem } from "../protocol";
import type { Refusal } from "./outbox";

/** The answer of a call. */
export type Answered<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

/** What the client finds wrong by itself: `network` (no answer) and `unreadable` (an answer that makes no sense). */
export type RestCode = "network" | "unreadable";

export interface RestOptions {
  readonly origin: string;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** An access token; `fresh`: the last one was refused. Null: there is none to be had. */
  readonly token: (fresh: boolean) => Promise<string | null>;
}

type Wish<Name extends Operation> = {
  readonly [Part in "path" | "query" | "body" as Operations[Name][Part] extends undefined
    ? never
    : Part]: Operations[Name][Part];
} & { readonly key?: string };

/** Codes after which a new token helps. */
const STALE = new Set(["token_expired", "not_authenticated"]);
/** A server that does not answer for so long is not there. */
const TIMEOUT_MS = 30_000;

export class Rest {
  readonly #options: RestOptions;

  constructor(options: RestOptions) {
    this.#options = options;
  }

  /** Makes a call with the access token. */
  async call<Name extends Operation>(name: Name, wish: Wish<Name>): Promise<Answered<Operations[Name]["answer"]>> {
    const token = await this.#options.token(false);
    if (token === null) {
      return refused("network", "There is no access token at the moment.");
    }
    const first = await this.#send(name, wish, token);
    if (first.ok || !STALE.has(first.refusal.code)) {
      return first;
    }
    const next = await this.#options.token(true);
    return next === null ? first : this.#send(name, wish, next);
  }

  /** Makes a call of somebody who is not signed in. */
  open<Name extends Operation>(name: Name, wish: Wish<Name>): Promise<Answered<Operations[Name]["answer"]>> {
    return this.#send(name, wish, null);
  }

  async #send<Name extends Operation>(
    name: Name,
    wish: Wish<Name>,
    token: string | null,
  ): Promise<Answered<Operations[Name]["answer"]>> {
    const { method, path, answer } = operations[name];
    const { body, query, path: places, key } = wish as Loose;
    const headers: Record<string, string> = { accept: "application/json" };
    if (token !== null) {
      headers["authorization"] = `Bearer ${token}`;
    }
    if (body !== undefined) {
      headers["content-type"] = "application/json";
    }
    if (key !== undefined) {
      headers["idempotency-key"] = key;
    }
    let response: Response;
    let text: string;
    try {
      response = await this.#options.fetch(this.#options.origin + fill(path, places) + ask(query), {
        method,
        headers,
        // The refresh token's cookie goes to its own origin only.
        credentials: "same-origin",
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      text = await response.text();
    } catch (error) {
      return refused("network", error instanceof Error ? error.message : "");
    }
    if (!response.ok) {
      return problem(response, text);
    }
    if (answer === null) {
      return { ok: true, value: undefined };
    }
    const value = readAnswer(name, parseJson(text));
    return value === undefined
      ? refused("unreadable", `${name}: the answer does not have the form of the contract.`)
      : { ok: true, value };
  }
}

interface Loose {
  readonly path?: Readonly<Record<string, string | number>>;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly key?: string;
}

function refused(code: RestCode, detail: string): { readonly ok: false; readonly refusal: Refusal } {
  return { ok: false, refusal: { code, detail } };
}

function problem(response: Response, text: string): { readonly ok: false; readonly refusal: Refusal } {
  const body = readProblem(parseJson(text));
  if (!body || !isCode(body.code)) {
    // A proxy's page, or a code of a newer server: the status says at least whether it may pass.
    const code = body?.code ?? (response.status >= 500 || response.status === 429 ? "busy" : "unreadable");
    return { ok: false, refusal: { code, detail: body?.detail ?? response.statusText } };
  }
  const seconds = Number(response.headers.get("retry-after"));
  const retryAfterMs = body.retry_after_ms ?? (seconds > 0 ? seconds * 1000 : undefined);
  return {
    ok: false,
    refusal: {
      code: body.code,
      detail: body.detail ?? "",
      ...(body.field === undefined ? {} : { field: body.field }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
  };
}

const fill = (path: string, places: Loose["path"]): string =>
  path.replace(/\{([a-z_]+)\}/g, (_, name: string) => encodeURIComponent(String(places?.[name] ?? "")));

function ask(query: Loose["query"]): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given).toString()}`;
}
