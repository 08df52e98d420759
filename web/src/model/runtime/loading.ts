// Loading a room's past: pages before what is there, up to the first unread message.

import type { State } from "../state";
import type { Problem, Result, RoomId } from "../types";
import { namesIn, toPage, toProblem } from "../wire";
import type { Batch } from "./batch";
import type { Driver } from "./driver";
import type { Environment } from "./environment";
import type { Names } from "./names";

/** Rows of a page when scrolling back. */
const PAGE_ROWS = 60;

export interface LoadingOptions {
  readonly env: Environment;
  readonly batch: Batch;
  readonly state: () => State;
  readonly driver: Driver;
  readonly names: Names;
  /** Something came that is to be kept. */
  readonly changed: () => void;
}

export class Loading {
  readonly #options: LoadingOptions;

  constructor(options: LoadingOptions) {
    this.#options = options;
  }

  /** The page before what is there; the newest when nothing is. */
  async older(roomId: RoomId): Promise<Result> {
    const { batch, env, state, driver, names, changed } = this.#options;
    batch.flush();
    const place = driver.client.positions.place(roomId);
    const before = state().timelines[roomId];
    if (before?.loading || (before && before.from <= before.firstSeq) || !state().rooms.byId[roomId]?.joined) {
      return { ok: true, value: undefined };
    }
    if (!place || !driver.client.live) {
      const problem: Problem = { code: env.page().online ? "network" : "offline", detail: "" };
      batch.now({ do: "loading", roomId, loading: false, problem });
      return { ok: false, problem };
    }
    if (!before) {
      // It begins where one stands: what comes from now on is put behind, the page before.
      batch.now({ do: "events", roomId, epoch: place.epoch, to: place.seq, events: [] });
    }
    batch.now({ do: "loading", roomId, loading: true, problem: null });
    const from = state().timelines[roomId]?.from ?? place.seq + 1;
    const metadata = { before: from, limit: PAGE_ROWS };
    const answer = await driver.request({ type: "history", room_id: roomId, metadata });
    if (answer.is === "done" && answer.frame.type === "history") {
      const page = toPage(roomId, answer.frame.metadata, from);
      batch.now({ do: "older", page });
      names.want(namesIn(page.events));
      changed();
      return { ok: true, value: undefined };
    }
    const problem: Problem =
      answer.is === "refused" ? toProblem(answer.refusal, env.now()) : { code: "network", detail: "" };
    batch.now({ do: "loading", roomId, loading: false, problem });
    return { ok: false, problem };
  }

  /** Pages until the first unread message is there; answers the key of the line above it. */
  async toUnread(roomId: RoomId): Promise<Result<string | null>> {
    for (;;) {
      const { view, timelines } = this.#options.state();
      const line = view.roomId === roomId ? view.line : null;
      const timeline = timelines[roomId];
      if (line === null || !timeline) {
        return { ok: true, value: null };
      }
      const first = timeline.events.find((event) => event.kind === "message");
      const reached = first?.kind === "message" && (first.message.number ?? 0) <= line + 1;
      if (reached || timeline.from <= timeline.firstSeq) {
        return { ok: true, value: "unread" };
      }
      const result = await this.older(roomId);
      if (!result.ok) {
        return result;
      }
      if (this.#options.state().timelines[roomId]?.from === timeline.from) {
        // Somebody else is loading, or the room went.
        return { ok: true, value: null };
      }
    }
  }
}
