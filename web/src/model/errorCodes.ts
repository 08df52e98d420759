// All codes that a `Problem` can carry: each needs a sentence in i18n under `error.<code>` that says what to do.

import { allCodes, type Code } from "@/protocol";
import type { ClientCode, ConnectionReason } from "./types";

export const clientCodes = [
  "offline",
  "network",
  "unreadable",
  "outbox_full",
  "storage",
  "unknown",
] as const satisfies readonly ClientCode[];

/** Codes of problems: `error.<code>`. Those with `retryAt` may use `{{seconds}}`. */
export const errorCodes: readonly (Code | ClientCode)[] = [...allCodes, ...clientCodes];

/** Reasons of the connection: `connection.<reason>`. */
export const connectionReasons = [
  "lost",
  "draining",
  "silent",
  "slow",
  "too_many",
  "protocol",
  "too_much",
  "suspended",
  "session_ended",
  "signed_out",
] as const satisfies readonly ConnectionReason[];
