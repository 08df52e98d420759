// Own messages from the composer to the server, over all tabs of this browser.
//
// Promises: a message is kept before it is shown as waiting; it is sent once (its id stays the same); only the tab that leads sends,
// and all tabs show it. A message that is stored and whose event has not come yet is shown all the same.

import type { Outgoing, Refusal, SendState } from "@/client";
import type { Change } from "../changes";
import { mayBeSent, seal, tidy } from "../content";
import type { Send } from "../state";
import type { Problem, Result, RoomId } from "../types";
import { toProblem } from "../wire";
import type { Driver } from "./driver";
import type { TabMessage } from "./environment";
import type { KeptSend, Storage } from "./storage";

export interface SendingOptions {
  readonly driver: Driver;
  readonly storage: Storage;
  readonly now: () => number;
  readonly newId: () => string;
  readonly tell: (message: TabMessage) => void;
  readonly show: (change: Change) => void;
  readonly limits: () => { readonly chars: number; readonly waiting: number };
}

interface Entry {
  kept: KeptSend;
  state: Send["state"];
  problem: Problem | null;
  /** It is stored as this event, which is on its way to the timeline. */
  storedAs: number | null;
}

export class Sending {
  readonly #options: SendingOptions;
  readonly #entries = new Map<string, Entry>();
  #leading = false;

  constructor(options: SendingOptions) {
    this.#options = options;
  }

  /** What an earlier run left. */
  restore(sends: readonly KeptSend[]): void {
    for (const kept of [...sends].sort((a, b) => (a.id < b.id ? -1 : 1))) {
      this.#take(kept);
    }
    this.#show();
  }

  async send(roomId: RoomId, written: string): Promise<Result<string>> {
    const { storage, now, newId, tell, limits } = this.#options;
    const text = tidy(written);
    if (!mayBeSent(text, limits().chars)) {
      return problem("bad_content", "content");
    }
    if (this.#entries.size >= limits().waiting) {
      return problem("outbox_full");
    }
    const id = newId();
    const sealed = seal(roomId, { kind: "text", text });
    const kept: KeptSend = { id, roomId, at: now(), text, sealed, left: false, failed: null };
    try {
      await storage.putSend(kept);
    } catch {
      return problem("storage");
    }
    this.#take(kept);
    this.#show();
    tell({ kind: "sendAdded", id });
    return { ok: true, value: id };
  }

  async retry(id: string): Promise<Result> {
    const entry = this.#entries.get(id);
    if (entry?.state !== "failed") {
      return problem("not_found");
    }
    const { storage, newId, tell, driver, now } = this.#options;
    // These say that nothing was stored under this id, and that nothing ever will be.
    const code = entry.problem?.code;
    if (code === "bad_id" || code === "id_reused") {
      const fresh = newId();
      const kept: KeptSend = { ...entry.kept, id: fresh, at: now(), left: false, failed: null };
      await storage.putSend(kept);
      await this.discard(id);
      this.#take(kept);
      this.#show();
      tell({ kind: "sendAdded", id: fresh });
      return { ok: true, value: undefined };
    }
    entry.kept = { ...entry.kept, failed: null };
    await storage.putSend(entry.kept);
    this.#set(entry, "waiting", null);
    driver.with((client, time) => client.outbox.retry(id, time));
    tell({ kind: "sendRetry", id });
    return { ok: true, value: undefined };
  }

  async discard(id: string): Promise<Result> {
    const entry = this.#entries.get(id);
    if (!entry) {
      return { ok: true, value: undefined };
    }
    if (entry.state === "sending" || (entry.kept.left && entry.state !== "failed")) {
      return problem("not_allowed");
    }
    await this.#gone(id, null, true);
    return { ok: true, value: undefined };
  }

  /** This tab sends from now on, or no more. */
  async lead(leading: boolean): Promise<void> {
    const { storage, driver } = this.#options;
    this.#leading = leading;
    if (leading) {
      // What was written while another tab led, and what that one had no time to tell.
      const kept = await storage.sends();
      const ids = new Set(kept.map((send) => send.id));
      for (const [id, entry] of this.#entries) {
        if (!ids.has(id) && entry.storedAs === null) {
          this.#drop(id);
        }
      }
      this.restore(kept);
    }
    driver.with((client, now) => client.outbox.lead(this.#leading, now));
  }

  /** The client tells how far a message is. */
  changed(id: string, state: SendState): void {
    const entry = this.#entries.get(id);
    if (!entry || !this.#leading) {
      return;
    }
    const { storage, now, tell } = this.#options;
    const refusal = state.is === "sending" ? null : state.refusal;
    if (state.is === "sending" && !entry.kept.left) {
      entry.kept = { ...entry.kept, left: true };
      void storage.putSend(entry.kept).catch(() => undefined);
    } else if (state.is === "failed") {
      entry.kept = { ...entry.kept, failed: state.refusal, left: false };
      void storage.putSend(entry.kept).catch(() => undefined);
    }
    this.#set(entry, state.is, refusal && toProblem(refusal, now()));
    tell({ kind: "sendState", id, state: state.is, refusal });
  }

  /** It is stored as the event `seq`. */
  acked(message: Outgoing, seq: number): void {
    void this.#gone(message.id, seq, true);
  }

  /** Events up to `to` are in the timeline of the room; these keys are among them. */
  delivered(roomId: RoomId, to: number, keys: ReadonlySet<string>): void {
    let changed = false;
    for (const [id, entry] of this.#entries) {
      if (entry.kept.roomId !== roomId) {
        continue;
      }
      if (keys.has(id) || (entry.storedAs !== null && entry.storedAs <= to)) {
        // Told by its event, before its ack or by another tab's.
        if (entry.storedAs === null) {
          void this.#gone(id, to, true);
        }
        this.#drop(id);
        changed = true;
      }
    }
    if (changed) {
      this.#show();
    }
  }

  /** Another tab told something. */
  async heard(message: TabMessage): Promise<void> {
    const { storage, driver, now } = this.#options;
    switch (message.kind) {
      case "sendAdded": {
        const kept = (await storage.sends()).find((send) => send.id === message.id);
        if (kept) {
          this.#take(kept);
          this.#show();
        }
        return;
      }
      case "sendRetry": {
        const entry = this.#entries.get(message.id);
        if (entry) {
          entry.kept = { ...entry.kept, failed: null };
          this.#set(entry, "waiting", null);
        }
        driver.with((client, time) => client.outbox.retry(message.id, time));
        return;
      }
      case "sendGone":
        if (message.seq !== null && driver.client.outbox.awaited(message.id)) {
          // Another tab saw its event before our ack came. The ack still comes, and is the event for us; should the connection
          // break before, the event comes by itself.
          const entry = this.#entries.get(message.id);
          if (entry) {
            entry.storedAs = message.seq;
          }
          return;
        }
        await this.#gone(message.id, message.seq, false);
        return;
      case "sendState": {
        const entry = this.#entries.get(message.id);
        if (entry && !this.#leading) {
          const { state, refusal } = message;
          entry.kept = {
            ...entry.kept,
            left: entry.kept.left || state === "sending",
            failed: state === "failed" ? refusal : null,
          };
          this.#set(entry, state, refusal && toProblem(refusal, now()));
        }
        return;
      }
      default:
        return;
    }
  }

  #take(kept: KeptSend): void {
    if (this.#entries.has(kept.id)) {
      return;
    }
    const { driver, now } = this.#options;
    const problem = kept.failed && toProblem(kept.failed, now());
    const state = kept.failed ? "failed" : kept.left ? "sending" : "waiting";
    this.#entries.set(kept.id, { kept, state, problem, storedAs: null });
    const { id, roomId, sealed } = kept;
    const failed: Refusal | null = kept.failed;
    driver.with((client, time) => client.outbox.add({ id, roomId, ...sealed }, time, failed));
  }

  /** Stored (`seq`) or thrown away (null). */
  async #gone(id: string, seq: number | null, mine: boolean): Promise<void> {
    const { storage, driver, tell } = this.#options;
    const entry = this.#entries.get(id);
    driver.with((client, now) => client.outbox.remove(id, now));
    if (entry) {
      if (seq === null) {
        this.#drop(id);
      } else if ((driver.client.positions.place(entry.kept.roomId)?.seq ?? 0) >= seq) {
        // Its event was shown before, or comes with this very change.
        this.#drop(id);
      } else {
        entry.storedAs = seq;
        entry.state = "sending";
        entry.problem = null;
      }
      this.#show();
    }
    if (mine) {
      await storage.deleteSend(id).catch(() => undefined);
      tell({ kind: "sendGone", id, seq });
    }
  }

  #drop(id: string): void {
    this.#entries.delete(id);
    this.#options.driver.with((client, now) => client.outbox.remove(id, now));
  }

  #set(entry: Entry, state: Send["state"], problem: Problem | null): void {
    entry.state = state;
    entry.problem = problem;
    this.#show();
  }

  #show(): void {
    const sends = [...this.#entries.values()].map(
      ({ kept, state, problem }): Send => ({
        id: kept.id,
        roomId: kept.roomId,
        text: kept.text,
        at: kept.at,
        state,
        problem,
        perhaps: null,
      }),
    );
    this.#options.show({ do: "sends", sends });
  }
}

const problem = (code: Problem["code"], field?: string): { readonly ok: false; readonly problem: Problem } => ({
  ok: false,
  problem: { code, detail: "", ...(field === undefined ? {} : { field }) },
});
