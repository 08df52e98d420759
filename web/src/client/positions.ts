// What has to be known of each room to lose nothing and to show nothing twice: its position, and what waits behind a hole.
//
// Pure but for its own memory: frames go in, what is to be done comes out. The rule: what is next is delivered; what was delivered is
// passed over; what lies behind a hole waits until `resume` has filled it.

import type { EventFrame, Place, UnknownEvent } from "../protocol";

export type RoomEventFrame = EventFrame | UnknownEvent;

export type PositionEffect =
  /** The next events of a room, in order; one now stands at `place`. */
  | {
      readonly do: "deliver";
      readonly roomId: string;
      readonly place: Place;
      readonly events: readonly RoomEventFrame[];
      /** They came late, by `resume`: no news. */
      readonly late: boolean;
    }
  | { readonly do: "resume"; readonly roomId: string; readonly place: Place }
  /** The newest page is needed, in place of all that is there. */
  | { readonly do: "reload"; readonly roomId: string; readonly reason: ReloadReason }
  /** One is in this room no more. */
  | { readonly do: "gone"; readonly roomId: string }
  /** Something happens in a room that was not told of yet. */
  | { readonly do: "unknownRoom"; readonly roomId: string };

/** `far`: so much was missed that the newest page is better; nothing is lost, older pages have it. */
export type ReloadReason = "retention" | "epoch" | "future" | "far" | "hole";

/** Events kept behind a hole; beyond that they are dropped and come again by `resume`. */
const STASH_MAX = 5000;
/** How often the same hole is asked for before the room is loaded anew. */
const HOLE_TRIES = 3;
/** More than this was missed: not all of it is loaded at once. */
const FAR = 1000;

interface RoomPosition {
  place: Place;
  stash: Map<number, RoomEventFrame>;
  /** `resume` is under way, or a page that says where to go on. */
  busy: "resume" | "reload" | null;
  /** Something was shed meanwhile: resume once more. */
  again: boolean;
  tries: number;
}

/** The positions of all rooms. */
export class Positions {
  readonly #rooms = new Map<string, RoomPosition>();
  #effects: PositionEffect[] = [];

  /** What is to be done since the last call, in order. */
  effects(): readonly PositionEffect[] {
    const out = this.#effects;
    this.#effects = [];
    return out;
  }

  /** Where one stands in a room. */
  place(roomId: string): Place | undefined {
    return this.#rooms.get(roomId)?.place;
  }

  /** Rooms of which something is on its way. */
  busy(): number {
    let count = 0;
    for (const room of this.#rooms.values()) {
      count += room.busy === null ? 0 : 1;
    }
    return count;
  }

  /** A position from an earlier run. */
  restore(roomId: string, place: Place): void {
    this.#rooms.set(roomId, fresh(place));
  }

  /** The connection is gone: what waits comes again by `resume`. */
  lost(): void {
    for (const room of this.#rooms.values()) {
      room.stash.clear();
      room.busy = null;
      room.again = false;
      room.tries = 0;
    }
  }

  /** A room as the server tells it now. */
  told(roomId: string, newest: Place): void {
    const room = this.#rooms.get(roomId);
    if (!room) {
      // Nothing is shown of it: it starts here, and its past comes by pages.
      this.#rooms.set(roomId, fresh(newest));
      return;
    }
    if (room.busy !== null) {
      return;
    }
    const { epoch, seq } = room.place;
    if (epoch === newest.epoch && newest.seq - seq > FAR) {
      this.#reload(roomId, room, "far");
    } else if (epoch !== newest.epoch || seq < newest.seq) {
      this.#resume(roomId, room);
    } else if (seq > newest.seq && room.stash.size === 0) {
      // Live events may be ahead of what was told; a server that was put back is not. It tells which.
      this.#resume(roomId, room);
    }
  }

  /** An event, live or by `resume`. */
  event(event: RoomEventFrame): void {
    const roomId = event.room_id;
    let room = this.#rooms.get(roomId);
    if (!room) {
      const epoch = event.type === null ? 1 : event.metadata.epoch;
      room = fresh({ epoch, seq: event.seq - 1 });
      this.#rooms.set(roomId, room);
      this.#effects.push({ do: "unknownRoom", roomId });
    }
    if (room.busy !== "reload" && event.seq <= room.place.seq) {
      return;
    }
    if (room.busy !== "reload" && event.seq === room.place.seq + 1) {
      this.#deliver(roomId, room, [event, ...following(room, event.seq)]);
      return;
    }
    if (room.stash.size >= STASH_MAX) {
      room.stash.clear();
      room.again = true;
    }
    room.stash.set(event.seq, event);
    if (room.busy === null) {
      this.#resume(roomId, room);
    }
  }

  /** All up to `upto` was sent. */
  resumed(roomId: string, upto: number, more: boolean): void {
    const room = this.#rooms.get(roomId);
    if (room?.busy !== "resume") {
      return;
    }
    room.busy = null;
    const before = room.place.seq;
    // What came up to here is all there is: numbers between that one may not see are no hole.
    const ready = [...room.stash.keys()].filter((seq) => seq <= upto).sort((a, b) => a - b);
    const events = ready.flatMap((seq) => take(room, seq));
    const last = Math.max(before, upto);
    events.push(...following(room, last));
    this.#deliver(roomId, room, events, last, true);
    if (room.place.seq > before) {
      room.tries = 0;
    }
    if (more || room.again) {
      room.again = false;
      this.#resume(roomId, room);
    } else if (room.stash.size > 0) {
      room.tries += 1;
      if (room.tries < HOLE_TRIES) {
        this.#resume(roomId, room);
      } else {
        this.#reload(roomId, room, "hole");
      }
    }
  }

  /** A room cannot be resumed. */
  reload(roomId: string, reason: string): void {
    const room = this.#rooms.get(roomId);
    if (!room) {
      return;
    }
    if (reason === "not_member" || reason === "removed") {
      this.forget(roomId);
      this.#effects.push({ do: "gone", roomId });
      return;
    }
    this.#reload(roomId, room, reason === "retention" || reason === "future" ? reason : "epoch");
  }

  /** The newest page came, in answer to a reload: one stands at its end. */
  loaded(roomId: string, place: Place): void {
    const room = this.#rooms.get(roomId);
    if (!room) {
      this.#rooms.set(roomId, fresh(place));
      return;
    }
    room.place = place;
    room.busy = null;
    room.tries = 0;
    for (const seq of room.stash.keys()) {
      if (seq <= place.seq) {
        room.stash.delete(seq);
      }
    }
    const events = following(room, place.seq);
    if (events.length > 0) {
      this.#deliver(roomId, room, events, place.seq, true);
    }
    if (room.stash.size > 0) {
      this.#resume(roomId, room);
    }
  }

  /** The page of a reload did not come; the next connection tries again. */
  reloadFailed(roomId: string): void {
    const room = this.#rooms.get(roomId);
    if (room?.busy === "reload") {
      room.busy = null;
    }
  }

  /** Live events of a room were shed. */
  resync(roomId: string): void {
    const room = this.#rooms.get(roomId);
    if (!room) {
      return;
    }
    if (room.busy === null) {
      this.#resume(roomId, room);
    } else {
      room.again = true;
    }
  }

  /** One is in this room no more. */
  forget(roomId: string): void {
    this.#rooms.delete(roomId);
  }

  #resume(roomId: string, room: RoomPosition): void {
    room.busy = "resume";
    this.#effects.push({ do: "resume", roomId, place: room.place });
  }

  #reload(roomId: string, room: RoomPosition, reason: ReloadReason): void {
    room.busy = "reload";
    room.tries = 0;
    room.again = false;
    this.#effects.push({ do: "reload", roomId, reason });
  }

  #deliver(
    roomId: string,
    room: RoomPosition,
    events: readonly RoomEventFrame[],
    upto = room.place.seq,
    late = room.busy !== null,
  ): void {
    const last = events.at(-1);
    const seq = Math.max(upto, last?.seq ?? 0);
    if (seq <= room.place.seq && events.length === 0) {
      return;
    }
    room.place = { epoch: room.place.epoch, seq };
    this.#effects.push({ do: "deliver", roomId, place: room.place, events, late });
  }
}

const fresh = (place: Place): RoomPosition => ({ place, stash: new Map(), busy: null, again: false, tries: 0 });

/** Takes what is next after `seq` out of what waits, without a hole. */
function following(room: RoomPosition, seq: number): RoomEventFrame[] {
  const out: RoomEventFrame[] = [];
  for (let next = take(room, seq + 1); next.length > 0; next = take(room, seq + 1 + out.length)) {
    out.push(...next);
  }
  return out;
}

function take(room: RoomPosition, seq: number): RoomEventFrame[] {
  const event = room.stash.get(seq);
  room.stash.delete(seq);
  return event ? [event] : [];
}
