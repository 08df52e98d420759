// The connection as people are told of it: at once what it is, and after a while that there is none.

import type { Connection } from "@/client";
import type { ConnectionState } from "../types";
import type { Environment } from "./environment";

/** Without a connection for so long, it is said. */
const BANNER_MS = 2000;

export class ShownConnection {
  readonly #env: Pick<Environment, "now" | "after">;
  readonly #show: (part: Partial<ConnectionState>) => void;
  /** Takes back the banner that is due. */
  #due: (() => void) | null = null;

  constructor(env: Pick<Environment, "now" | "after">, show: (part: Partial<ConnectionState>) => void) {
    this.#env = env;
    this.#show = show;
  }

  took(connection: Connection): void {
    const { phase, since } = connection;
    this.stop();
    const left = since === 0 ? 0 : since + BANNER_MS - this.#env.now();
    const banner = since !== 0 && (left <= 0 || phase.at === "stopped");
    this.#show({ ...partOf(connection), banner });
    if (left > 0) {
      this.#due = this.#env.after(left, () => this.#show({ banner: true }));
    }
  }

  stop(): void {
    this.#due?.();
    this.#due = null;
  }
}

/** What is shown whatever the time. */
function partOf(connection: Connection): Omit<ConnectionState, "banner" | "catchingUp"> {
  const { phase, reason, since, offline, attempts } = connection;
  const live = phase.at === "live";
  return {
    phase: phaseOf(connection),
    reason: live || (reason === null && !offline) ? null : (reason ?? "lost"),
    since,
    retryAt: phase.at === "waiting" ? phase.until : null,
    attempts,
  };
}

function phaseOf({ phase, offline }: Connection): ConnectionState["phase"] {
  switch (phase.at) {
    case "idle":
      return "idle";
    case "stopped":
      return "stopped";
    case "live":
      return "live";
    default:
      return offline ? "offline" : phase.at === "waiting" ? "waiting" : "connecting";
  }
}
