// Writes what changed to this browser's database, a moment after it changed: rooms, the newest part of their timelines, people.
// Only the tab that leads writes. A timeline is written with its position, after it was shown; then the server is told how far this
// device is.

import type { State, Timeline } from "../state";
import type { Room, RoomId } from "../types";
import type { Environment } from "./environment";
import type { KeptTimeline, Storage, Writing } from "./storage";

/** Changes within this time are written together. */
const WAIT_MS = 1000;
/** Events of each room that are kept. */
const KEPT_EVENTS = 60;

export interface KeeperOptions {
  readonly env: Environment;
  readonly storage: Storage;
  /** The state with all that is on its way to it. */
  readonly state: () => State;
  /** Kept up to here. */
  readonly kept: (places: readonly { readonly roomId: RoomId; readonly seq: number }[]) => void;
}

export class Keeper {
  readonly #options: KeeperOptions;
  #timer: (() => void) | null = null;
  #leading = false;
  #closed = false;
  #written: { rooms: State["rooms"]["byId"]; timelines: State["timelines"]; people: State["people"] };

  constructor(options: KeeperOptions) {
    this.#options = options;
    const { rooms, timelines, people } = options.state();
    this.#written = { rooms: rooms.byId, timelines, people };
  }

  lead(leading: boolean): void {
    this.#leading = leading;
    if (leading) {
      // Another tab wrote last: what this one has is written anew.
      this.#written = { rooms: {}, timelines: {}, people: {} };
      this.changed();
    }
  }

  /** Something changed; it is written soon. */
  changed(): void {
    if (this.#leading && !this.#closed) {
      this.#timer ??= this.#options.env.after(WAIT_MS, () => {
        this.#timer = null;
        void this.write();
      });
    }
  }

  /** Writes what changed, now: the page may go. */
  async write(): Promise<void> {
    if (!this.#leading || this.#closed) {
      return;
    }
    const { state, storage, kept } = this.#options;
    const { rooms, timelines, people } = state();
    const before = this.#written;
    const writing: Writing = {
      rooms: changedIn(before.rooms, rooms.byId).filter((room: Room) => room.joined),
      timelines: changedIn(before.timelines, timelines, (roomId) => rooms.byId[roomId]?.joined ?? false).map(
        ([roomId, timeline]) => newest(roomId, timeline),
      ),
      people: changedIn(before.people, people),
      gone: Object.keys(before.rooms).filter((roomId) => !rooms.byId[roomId]),
    };
    this.#written = { rooms: rooms.byId, timelines, people };
    if (writing.rooms.length + writing.timelines.length + writing.people.length + writing.gone.length === 0) {
      return;
    }
    try {
      await storage.write(writing);
    } catch {
      // It is tried again with the next change; until then the server still knows how far we were.
      this.#written = before;
      return;
    }
    kept(writing.timelines.map(({ roomId, to }) => ({ roomId, seq: to })));
  }

  close(): void {
    this.#closed = true;
    this.#timer?.();
  }
}

function changedIn<T>(before: Readonly<Record<string, T>>, now: Readonly<Record<string, T>>): T[];
function changedIn<T>(
  before: Readonly<Record<string, T>>,
  now: Readonly<Record<string, T>>,
  which: (key: string) => boolean,
): [string, T][];
function changedIn<T>(
  before: Readonly<Record<string, T>>,
  now: Readonly<Record<string, T>>,
  which?: (key: string) => boolean,
): T[] | [string, T][] {
  if (before === now) {
    return [];
  }
  const changed = Object.entries(now).filter(([key, value]) => before[key] !== value && (which?.(key) ?? true));
  return which ? changed : changed.map(([, value]) => value);
}

function newest(roomId: RoomId, timeline: Timeline): KeptTimeline {
  const { epoch, to, firstSeq, lost, events } = timeline;
  const cut = events.length > KEPT_EVENTS ? events.slice(-KEPT_EVENTS) : events;
  const from = cut === events ? timeline.from : (cut[0]?.seq ?? timeline.from);
  return { roomId, epoch, from, to, firstSeq, lost, events: cut };
}
