// Who is there: what the server is told of us and asked of others, and who types.

import type { Change } from "../changes";
import type { State } from "../state";
import type { RoomId } from "../types";
import type { Driver } from "./driver";
import type { Environment } from "./environment";

/** Without the person for so long is away. */
const AWAY_MS = 5 * 60_000;
/** Direct rooms whose other one is watched, beside the open room. */
const WATCH_MAX = 50;
/** Typing is told at most once in so long, and lasts so long for others. */
const TYPING_EVERY_MS = 3000;
const TYPING_MS = 6000;

export interface PresenceOptions {
  readonly env: Environment;
  readonly driver: Driver;
  readonly state: () => State;
  readonly show: (...changes: readonly Change[]) => void;
}

export class Presence {
  readonly #options: PresenceOptions;
  #away = false;
  #awayTimer: () => void = () => undefined;
  #typingTimer: (() => void) | null = null;
  #watched = "";
  #typed: { roomId: RoomId; at: number } | null = null;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.touched();
  }

  stop(): void {
    this.#awayTimer();
    this.#typingTimer?.();
  }

  /** A new connection knows nothing of us. */
  connected(): void {
    this.#watched = "";
    this.#typed = null;
    this.watch(true);
  }

  /** The person did something. */
  touched(): void {
    this.#awayTimer();
    this.#awayTimer = this.#options.env.after(AWAY_MS, () => this.#setAway(true));
    this.#setAway(false);
  }

  #setAway(away: boolean): void {
    if (this.#away !== away) {
      this.#away = away;
      const status = away ? "away" : "online";
      this.#options.driver.with((client) => client.tell({ type: "presence", metadata: { status } }));
    }
  }

  /** Says for which rooms names are wanted: the open one, and the newest direct ones. */
  watch(withStatus = false): void {
    const { driver, state } = this.#options;
    const { rooms, view } = state();
    const direct = Object.values(rooms.byId)
      .filter((room) => room.joined && room.peer !== null)
      .sort((a, b) => b.lastAt - a.lastAt)
      .slice(0, WATCH_MAX)
      .map((room) => room.roomId);
    const open = view.roomId !== null && rooms.byId[view.roomId]?.joined ? [view.roomId] : [];
    const watch = [...new Set([...open, ...direct])].sort();
    const key = watch.join();
    if (driver.client.live && (withStatus || key !== this.#watched)) {
      this.#watched = key;
      const status = this.#away ? "away" : "online";
      driver.with((client) =>
        client.tell({ type: "presence", metadata: { watch, ...(withStatus ? { status } : {}) } }),
      );
    }
  }

  /** The person types in a room, or stopped. */
  typing(roomId: RoomId, active: boolean): void {
    const { driver, env, state } = this.#options;
    const now = env.now();
    const last = this.#typed?.roomId === roomId ? this.#typed.at : null;
    if (!state().settings.sendTyping || (active ? last !== null && now - last < TYPING_EVERY_MS : last === null)) {
      return;
    }
    this.#typed = active ? { roomId, at: now } : null;
    driver.with((client) => client.tell({ type: "typing", room_id: roomId, metadata: { active } }));
  }

  /** Said what was typed: others see that by the message. */
  said(roomId: RoomId): void {
    if (this.#typed?.roomId === roomId) {
      this.#typed = null;
    }
  }

  /** Somebody else types. */
  heard(roomId: RoomId, userId: string, active: boolean): void {
    const { env, show } = this.#options;
    show({ do: "typing", roomId, userId, until: active ? env.now() + TYPING_MS : null });
    if (active) {
      this.#expire();
    }
  }

  #expire(): void {
    const { env, show, state } = this.#options;
    this.#typingTimer ??= env.after(1000, () => {
      this.#typingTimer = null;
      show({ do: "typingOver", now: env.now() });
      if (Object.keys(state().typing).length > 0) {
        this.#expire();
      }
    });
  }
}
