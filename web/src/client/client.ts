// The client of the protocol as one machine: the connection, the positions of all rooms, the outbox and the requests that wait for
// an answer. Frames and times go in, effects come out (`effects.ts`); it owns no socket, clock or dice. docs/protocol.md says in
// words what it does.

import {
  type ClientFrame,
  type HelloMetadata,
  type Place,
  readFrame,
  type ServerAck,
  type ServerError,
  type ServerFrame,
  type ServerStream,
  writeFrame,
} from "../protocol";
import { type Connection, deadline, type Effect, type Input, idle, step } from "./connection";
import type { Answer, ClientEffect } from "./effects";
import { Outbox, type Outgoing, toRefusal } from "./outbox";
import { saidEvent, tookBackEvent } from "./ownEvents";
import { Positions } from "./positions";
import { Requests } from "./requests";
import { UserStream } from "./userStream";

/** Rooms in one `resume`; the server takes 1,000. */
const RESUME_ROOMS = 500;
/** Rows of the newest page after a reload. */
const NEWEST_ROWS = 100;

export interface ClientOptions {
  readonly deviceId: string | null;
  /** Chance, from 0 to 1. */
  readonly random: () => number;
  /** A fresh id for a request. */
  readonly newId: () => string;
}

export class Client {
  readonly positions = new Positions();
  readonly outbox = new Outbox();
  readonly #options: ClientOptions;
  readonly #requests = new Requests();
  #effects: ClientEffect[] = [];
  #connection: Connection = idle;
  #token = "";
  #deviceId: string | null;
  readonly #stream = new UserStream();
  #me: string | null = null;
  /** Ids of rooms told since the last `hello`, until all pages came. */
  #told: string[] | null = null;
  #resumes: { room_id: string; epoch: number; seq: number }[] = [];

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#deviceId = options.deviceId;
  }

  /** What is to be done and known since the last call, in order. */
  effects(): readonly ClientEffect[] {
    const out = this.#effects;
    this.#effects = [];
    return out;
  }

  get connection(): Connection {
    return this.#connection;
  }

  get live(): boolean {
    return this.#connection.phase.at === "live";
  }

  /** Something happened to the connection; see `connection.ts`. */
  input(input: Input, now: number): void {
    const before = this.#connection;
    const { state, effects } = step(before, input, now, this.#options.random());
    this.#connection = state;
    for (const effect of effects) {
      this.#carryOut(effect, now);
    }
    if (before.phase !== state.phase || before.reason !== state.reason || before.offline !== state.offline) {
      this.#effects.push({ do: "connection", connection: state });
    }
  }

  /** A token, as it was asked for. */
  token(token: string, now: number): void {
    this.#token = token;
    this.input({ kind: "token" }, now);
    this.#flush(now);
  }

  /** Time passed. */
  tick(now: number): void {
    this.input({ kind: "tick" }, now);
    this.outbox.tick(now);
    if (this.#requests.late(now)) {
      this.input({ kind: "unanswered" }, now);
    }
    this.#flush(now);
  }

  /** When `tick` is wanted at the latest. */
  deadline(now: number): number | null {
    const all = [deadline(this.#connection), this.outbox.deadline(now), this.#requests.deadline()];
    const next = Math.min(...all.filter((at) => at !== null));
    return next === Number.POSITIVE_INFINITY ? null : next;
  }

  /** Sends a request and answers it by `answered` with this id; null when there is no connection. */
  request(frame: ClientFrame & { readonly id?: string }, now: number): string | null {
    if (!this.live) {
      return null;
    }
    const id = frame.id ?? this.#options.newId();
    this.#ask({ ...frame, id }, now, (answer) => this.#effects.push({ do: "answered", id, answer }));
    return id;
  }

  /** Sends what is not answered (typing, presence, delivered positions); nothing without a connection. */
  tell(frame: ClientFrame): void {
    if (this.live) {
      this.#write(frame);
    }
  }

  /** Says something. */
  say(message: Outgoing, now: number): void {
    this.outbox.add(message, now);
    this.#flush(now);
  }

  /** Carries on what the parts want since they were changed from outside. */
  settle(now: number): void {
    this.#flush(now);
  }

  /** A text frame of the socket. */
  frame(socket: number, text: string, now: number): void {
    if (socket !== this.#connection.socket) {
      return;
    }
    const incoming = readFrame(text);
    const hello = incoming.kind === "frame" && incoming.frame.type === "hello" ? incoming.frame : null;
    this.input({ kind: "heard", socket, hello: hello !== null }, now);
    if (incoming.kind === "event") {
      this.positions.event(incoming.event);
    } else if (incoming.kind === "frame") {
      this.#take(incoming.frame, now);
    }
    this.#flush(now);
  }

  #take(frame: ServerFrame, now: number): void {
    switch (frame.type) {
      case "hello":
        this.#hello(frame.metadata, frame.timestamp, now);
        return;
      case "ack":
        this.#ack(frame, now);
        return;
      case "error":
        this.#error(frame, now);
        return;
      case "history":
        this.#requests.answer(frame.id, { is: "done", frame });
        return;
      case "resumed":
        if (frame.room_id) {
          this.positions.resumed(frame.room_id, frame.seq, frame.metadata.more);
        } else {
          this.#askStream(this.#stream.resumed(frame.seq, frame.metadata.more));
        }
        return;
      case "reload":
        if (frame.room_id) {
          this.positions.reload(frame.room_id, frame.metadata.reason);
        } else {
          this.#stream.lost();
          this.#askRooms(undefined, now);
        }
        return;
      case "resync":
        this.positions.resync(frame.room_id);
        return;
      case "rooms":
        this.#requests.answer(frame.id, { is: "done", frame });
        this.#rooms(frame.metadata, now);
        return;
      case "stream":
        this.#streamEntry(frame);
        return;
      case "notice":
        this.#notice(frame.metadata.code, frame.metadata.reconnect_after_ms, now);
        return;
      case "presence":
        this.#effects.push({ do: "presence", frame });
        return;
      case "typing":
        this.#effects.push({ do: "typing", frame });
        return;
      default:
        return;
    }
  }

  #hello(hello: HelloMetadata, timestamp: string, now: number): void {
    this.#me = hello.user.user_id;
    this.#deviceId = hello.device_id;
    this.#stream.begin(hello.stream);
    this.#effects.push({ do: "hello", hello, timestamp });
    this.#told = [];
    this.#rooms(hello, now);
    this.outbox.connected(hello.limits, now);
  }

  #rooms(page: Pick<HelloMetadata, "rooms" | "more_rooms" | "cursor">, now: number): void {
    this.#effects.push({ do: "rooms", rooms: page.rooms });
    for (const room of page.rooms) {
      this.#told?.push(room.room_id);
      this.positions.told(room.room_id, { epoch: room.epoch, seq: room.last_seq });
    }
    if (page.more_rooms && page.cursor !== undefined) {
      this.#askRooms(page.cursor, now);
    } else if (this.#told) {
      this.#effects.push({ do: "roomsWhole", roomIds: this.#told });
      this.#told = null;
    }
  }

  #askRooms(cursor: string | undefined, now: number): void {
    if (cursor === undefined) {
      this.#told = [];
    }
    // Answered by a `rooms` frame, which is taken as it comes.
    const id = this.#options.newId();
    this.#ask({ type: "rooms", id, metadata: cursor === undefined ? {} : { cursor } }, now, () => undefined);
  }

  #ack(frame: ServerAck, now: number): void {
    const { id, seq, room_id: roomId, metadata } = frame;
    const message = id === undefined ? undefined : this.outbox.acked(id, now);
    const said = message && this.#me !== null ? saidEvent(frame, message, this.#me) : null;
    if (message && said) {
      this.#effects.push({ do: "acked", message, seq: said.seq });
      this.positions.event(said);
      return;
    }
    const asked = id === undefined ? undefined : this.#requests.frame(id);
    if (!asked && roomId !== undefined && seq !== undefined && seq > (this.positions.place(roomId)?.seq ?? seq)) {
      // A message that nobody here waits for any more (another tab thought it done): its event has to be fetched.
      this.positions.resync(roomId);
    }
    const tookBack = asked?.type === "delete" && this.#me !== null ? tookBackEvent(frame, asked, this.#me) : null;
    if (tookBack) {
      // What one took back oneself comes as an answer only: it is the event too.
      this.positions.event(tookBack);
    }
    if (metadata.room) {
      this.enter(metadata.room.room_id, { epoch: metadata.room.epoch, seq: metadata.room.last_seq });
      this.#effects.push({ do: "rooms", rooms: [metadata.room] });
    }
    this.#requests.answer(id, { is: "done", frame });
  }

  /** A room that was told outside of `hello` (REST, the answer to `join`). */
  enter(roomId: string, newest: Place): void {
    this.#told?.push(roomId);
    if (this.live) {
      this.positions.told(roomId, newest);
    }
  }

  #error(frame: ServerError, now: number): void {
    const refusal = toRefusal(frame);
    if (frame.id !== undefined && this.outbox.refused(frame.id, refusal, now)) {
      return;
    }
    if (!this.#requests.answer(frame.id, { is: "refused", refusal })) {
      this.#effects.push({ do: "complaint", refusal });
    }
  }

  #notice(code: string, afterMs: number | undefined, now: number): void {
    if (code === "token_expiring") {
      this.input({ kind: "expiring" }, now);
    } else if (code === "draining") {
      this.input({ kind: "draining", waitMs: afterMs ?? 1000 }, now);
    }
  }

  #streamEntry(frame: ServerStream): void {
    const what = this.#stream.entry(frame);
    if (what === "news") {
      this.#effects.push({ do: "stream", frame });
    }
    this.#askStream(what === "ask");
  }

  #askStream(wanted: boolean): void {
    if (wanted) {
      this.#write(this.#stream.question());
    }
  }

  #carryOut(effect: Effect, now: number): void {
    switch (effect.do) {
      case "open":
      case "close":
      case "token":
        this.#effects.push(effect);
        return;
      case "auth":
        this.#write({
          type: "auth",
          content: this.#token,
          metadata: this.#deviceId === null ? {} : { device_id: this.#deviceId },
        });
        return;
      case "ask":
        this.#askStream(true);
        return;
      case "lost":
        this.#lost(now);
        return;
    }
  }

  #lost(now: number): void {
    this.positions.lost();
    this.outbox.lost();
    this.#resumes = [];
    this.#told = null;
    this.#stream.lost();
    this.#requests.lost();
    this.outbox.tick(now);
  }

  #ask(frame: ClientFrame & { readonly id: string }, now: number, done: (answer: Answer) => void): void {
    this.#requests.add(frame, now, done);
    this.#write(frame);
  }

  #write(frame: ClientFrame): void {
    this.#effects.push({ do: "write", socket: this.#connection.socket, text: writeFrame(frame) });
  }

  /** Turns what positions and outbox want into frames and news. */
  #flush(now: number): void {
    for (const effect of this.positions.effects()) {
      switch (effect.do) {
        case "resume":
          this.#resumes.push({ room_id: effect.roomId, epoch: effect.place.epoch, seq: effect.place.seq });
          break;
        case "reload":
          this.#reload(effect.roomId, effect.reason, now);
          break;
        case "deliver":
        case "gone":
        case "unknownRoom":
          this.#effects.push(effect);
          break;
      }
    }
    if (this.live) {
      for (let from = 0; from < this.#resumes.length; from += RESUME_ROOMS) {
        this.#write({ type: "resume", metadata: { rooms: this.#resumes.slice(from, from + RESUME_ROOMS) } });
      }
    }
    this.#resumes = [];
    for (const effect of this.outbox.effects()) {
      switch (effect.do) {
        case "send":
          this.#write(effect.frame);
          break;
        case "state":
          this.#effects.push({ do: "sendState", id: effect.id, state: effect.state });
          break;
        case "unanswered":
          this.input({ kind: "unanswered" }, now);
          break;
      }
    }
  }

  #reload(roomId: string, reason: (ClientEffect & { do: "newest" })["reason"], now: number): void {
    if (!this.live) {
      this.positions.reloadFailed(roomId);
      return;
    }
    const id = this.#options.newId();
    const frame: ClientFrame = { type: "history", id, room_id: roomId, metadata: { limit: NEWEST_ROWS } };
    this.#ask({ ...frame, id }, now, (answer) => {
      if (answer.is === "done" && answer.frame.type === "history") {
        const page = answer.frame.metadata;
        this.#effects.push({ do: "newest", roomId, page, reason });
        this.positions.loaded(roomId, { epoch: page.epoch, seq: page.last_seq });
      } else {
        this.positions.reloadFailed(roomId);
        if (answer.is === "refused" && ["not_member", "room_not_found"].includes(answer.refusal.code)) {
          this.positions.reload(roomId, "not_member");
        }
      }
    });
  }
}
