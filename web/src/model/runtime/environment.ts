// The world around the model: clock, chance, timers, sockets, other tabs. Handed in, so that tests have one that they can turn.

import type { SharedToken, Transport } from "@/client";
import type { Settings } from "../types";
import type { Account, Storages } from "./storage";

/** What tabs of one browser tell each other. */
export type TabMessage =
  | { readonly kind: "token"; readonly token: SharedToken }
  | { readonly kind: "signedIn"; readonly account: Account }
  | { readonly kind: "signedOut"; readonly userId: string; readonly ended: "revoked" | "expired" | "suspended" | null }
  /** A message was written: whoever leads sends it. */
  | { readonly kind: "sendAdded"; readonly id: string }
  | { readonly kind: "sendRetry"; readonly id: string }
  /** It is stored, or was thrown away. */
  | { readonly kind: "sendGone"; readonly id: string; readonly seq: number | null }
  | {
      readonly kind: "sendState";
      readonly id: string;
      readonly state: "waiting" | "sending" | "failed";
      readonly refusal: { readonly code: string; readonly detail: string } | null;
    }
  | { readonly kind: "draft"; readonly roomId: string; readonly text: string }
  | { readonly kind: "settings"; readonly settings: Settings };

export interface Tabs {
  tell(message: TabMessage): void;
  onMessage(listener: (message: TabMessage) => void): void;
  /** Runs `task` while no other tab runs one of the same name. */
  alone<T>(name: string, task: () => Promise<T>): Promise<T>;
  /**
   * Leads for as long as nobody else wants to more: calls `onLead(true)` when this tab leads and `onLead(false)` when it leads no
   * more. `insist` takes the lead from another tab. Answers how to step back.
   */
  lead(name: string, insist: boolean, onLead: (leading: boolean) => void): () => void;
  close(): void;
}

export type Happening = "online" | "offline" | "seen" | "hidden" | "focus" | "blur" | "touch" | "leaving";

export interface Environment {
  readonly origin: string;
  readonly socketUrl: string;
  now(): number;
  /** From 0 to 1. */
  random(): number;
  /** Calls back after so many milliseconds; answers how to prevent it. */
  after(ms: number, task: () => void): () => void;
  /** Calls back with the next frame. */
  soon(task: () => void): void;
  readonly transport: Transport;
  fetch(url: string, init: RequestInit): Promise<Response>;
  readonly storages: Storages;
  readonly tabs: Tabs;
  settings(): Partial<Settings>;
  keepSettings(settings: Settings): void;
  /** How the page is now. */
  readonly page: () => { readonly visible: boolean; readonly focused: boolean; readonly online: boolean };
  onHappening(listener: (happening: Happening) => void): () => void;
}
