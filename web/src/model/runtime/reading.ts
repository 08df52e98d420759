// What was read: the markers, which move only while somebody looks, and the unread line of the open room.
//
// The marker moves here at once and is told to the server at most twice a second; what could not be told is told at the next connection.

import type { Change } from "../changes";
import { indexOf } from "../reduce/timelines";
import type { State } from "../state";
import type { RoomId } from "../types";
import type { Driver } from "./driver";
import type { Environment } from "./environment";

const TELL_MS = 500;

export interface ReadingOptions {
  readonly env: Environment;
  readonly driver: Driver;
  readonly state: () => State;
  readonly show: (...changes: readonly Change[]) => void;
}

export class Reading {
  readonly #options: ReadingOptions;
  /** Up to which event is to be told, by room. */
  readonly #untold = new Map<RoomId, number>();
  #timer: (() => void) | null = null;

  constructor(options: ReadingOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#timer?.();
  }

  /** The row of this seq was on screen. */
  readUpTo(roomId: RoomId, seq: number): void {
    const state = this.#options.state();
    const { view } = state;
    const events = state.timelines[roomId]?.events;
    const room = state.rooms.byId[roomId];
    if (!view.visible || !view.focused || view.roomId !== roomId || !events || !room?.joined) {
      return;
    }
    // The newest message up to there.
    for (let index = indexOf(events, seq + 1) - 1; index >= 0; index -= 1) {
      const event = events[index];
      if (event?.kind === "message") {
        this.#move(roomId, event.seq, event.message.number ?? 0, room.readNumber);
        return;
      }
    }
  }

  /** All of it, seen or not. */
  markRead(roomId: RoomId): void {
    const room = this.#options.state().rooms.byId[roomId];
    const place = this.#options.driver.client.positions.place(roomId);
    if (room && place) {
      this.#move(roomId, place.seq, room.lastNumber, room.readNumber);
    }
  }

  /** An own message was stored: whoever speaks has read. */
  spoke(roomId: RoomId, seq: number): void {
    this.#later(roomId, seq);
  }

  /** Rooms as the server told them: where it knows less than we do, it is told. */
  told(roomId: RoomId, readNumber: number): void {
    const state = this.#options.state();
    const room = state.rooms.byId[roomId];
    if (!room || room.readNumber <= readNumber) {
      return;
    }
    const events = state.timelines[roomId]?.events ?? [];
    for (let index = events.length - 1; index >= 0; index -= 1) {
      const event = events[index];
      if (event?.kind === "message" && (event.message.number ?? 0) <= room.readNumber) {
        this.#later(roomId, event.seq);
        return;
      }
    }
  }

  /** Where the unread line stands when a room is opened. */
  opened(roomId: RoomId): void {
    const room = this.#options.state().rooms.byId[roomId];
    const line = room?.joined && room.lastNumber > room.readNumber ? room.readNumber : null;
    this.#options.show({ do: "view", view: { roomId, line } });
  }

  /** Nobody looks any more: when all was read, what comes from now on is under a line of its own. */
  lookedAway(): void {
    const { view, rooms } = this.#options.state();
    const room = view.roomId === null ? undefined : rooms.byId[view.roomId];
    if (room && view.line !== null && room.readNumber >= room.lastNumber) {
      this.#options.show({ do: "view", view: { line: null } });
    }
  }

  /** Messages of others came to the open room, the first of them with this number. */
  came(roomId: RoomId, number: number): void {
    const { view, rooms } = this.#options.state();
    const room = rooms.byId[roomId];
    if (view.roomId === roomId && view.line === null && !(view.visible && view.focused) && room) {
      this.#options.show({ do: "view", view: { line: Math.min(room.readNumber, number - 1) } });
    }
  }

  /** Connected: what waits is told. */
  connected(): void {
    if (this.#untold.size > 0) {
      this.#arm();
    }
  }

  #move(roomId: RoomId, seq: number, number: number, before: number): void {
    if (number > before) {
      this.#options.show({ do: "read", roomId, number });
      this.#later(roomId, seq);
    }
  }

  #later(roomId: RoomId, seq: number): void {
    this.#untold.set(roomId, Math.max(seq, this.#untold.get(roomId) ?? 0));
    this.#arm();
  }

  #arm(): void {
    this.#timer ??= this.#options.env.after(TELL_MS, () => {
      this.#timer = null;
      this.#tell();
    });
  }

  #tell(): void {
    const { driver } = this.#options;
    if (!driver.client.live) {
      return;
    }
    for (const [roomId, seq] of [...this.#untold]) {
      void driver.request({ type: "read", room_id: roomId, seq }).then((answer) => {
        // Refused for good (the room is gone), or done; only a lost connection leaves it to be told again.
        if (answer.is !== "lost" && this.#untold.get(roomId) === seq) {
          this.#untold.delete(roomId);
        }
      });
    }
  }
}
