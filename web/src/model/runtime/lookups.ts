// Asks what a room is. Whoever asks for the same room meanwhile gets the same answer; a room that one is in is entered, one that is not there
// any more is forgotten.

import type { Rest } from "@/client";
import type { RoomShape } from "@/protocol";
import type { Result, RoomId } from "../types";
import { toProblem } from "../wire";

export interface LookupOptions {
  readonly rest: Rest;
  readonly now: () => number;
  readonly enter: (shape: RoomShape) => void;
  readonly forget: (roomId: RoomId) => void;
}

export class Lookups {
  readonly #options: LookupOptions;
  readonly #asking = new Map<RoomId, Promise<Result<RoomShape>>>();
  #over = false;

  constructor(options: LookupOptions) {
    this.#options = options;
  }

  room(roomId: RoomId): Promise<Result<RoomShape>> {
    let asking = this.#asking.get(roomId);
    if (!asking) {
      asking = this.#ask(roomId).finally(() => this.#asking.delete(roomId));
      this.#asking.set(roomId, asking);
    }
    return asking;
  }

  /** What is still on its way changes nothing any more. */
  stop(): void {
    this.#over = true;
  }

  async #ask(roomId: RoomId): Promise<Result<RoomShape>> {
    const { rest, now, enter, forget } = this.#options;
    const answer = await rest.call("get_room", { path: { room_id: roomId } });
    if (this.#over) {
      return { ok: false, problem: { code: "network", detail: "" } };
    }
    if (!answer.ok) {
      if (answer.refusal.code === "room_not_found") {
        forget(roomId);
      }
      return { ok: false, problem: toProblem(answer.refusal, now()) };
    }
    if (answer.value.role !== undefined) {
      enter(answer.value);
    }
    return { ok: true, value: answer.value };
  }
}
