// A server that speaks the real protocol in memory, and does what a test tells it to: lose connections at the worst moment, shed
// events, refuse, restart, forget. Everything takes its time by the test's clock. What it says is checked against docs/protocol.md by
// the same schemas as the client's own reading.

import type { Socket, SocketCallbacks, Transport } from "@/client";
import {
  type ClientFrame,
  type EventFrame,
  isObject,
  type JsonObject,
  parseJson,
  type RoomShape,
  type UserShape,
} from "@/protocol";
import { answerFrame } from "./fakeAnswers";
import { answerRest } from "./fakeRest";
import { FakeRoom, type Saying, uuid } from "./fakeRoom";
import type { Clock } from "./support/clock";

export interface FakeUser {
  readonly shape: UserShape;
  readonly password: string;
  readonly sessions: Map<string, { refresh: string; previous: string; ended: boolean; deviceId: string }>;
  streamSeq: number;
}

/** A socket that is open. */
export interface Connection {
  readonly callbacks: SocketCallbacks;
  user: FakeUser | null;
  sessionId: string;
  open: boolean;
  /** Live events that were shed: by room, from where. */
  readonly shed: Map<string, number>;
}

/** How long a frame takes each way. */
const WAY_MS = 5;
const LIMITS = {
  content_chars: 4096,
  metadata_bytes: 4096,
  frame_bytes: 65536,
  messages_per_second: 10,
  messages_burst: 20,
  page_rows: 100,
  rooms_per_request: 1000,
};

export class FakeServer {
  readonly origin = "https://fake.test";
  readonly users = new Map<string, FakeUser>();
  readonly rooms = new Map<string, FakeRoom>();
  /** All that clients sent, for looking at. */
  readonly heard: ClientFrame[] = [];
  readonly clock: Clock;
  /** Nobody gets in: the machine is gone, or the network. */
  down = false;
  /** Frames vanish both ways, and no socket says so; new ones do not open. */
  mute = false;
  /** What becomes of the next frames: `drop` breaks before it is read, `dropAfter` when it was done and before it is answered. */
  fate: (
    frame: ClientFrame,
  ) => "drop" | "dropAfter" | { readonly code: string; readonly retry_after_ms?: number } | null = () => null;
  /** How often a refresh token was given out. */
  refreshes = 0;
  /** Rows of one answer to `resume`. */
  resumeRows = 500;
  /** Access tokens live so long. */
  tokenMs = 600_000;
  #connections = new Set<Connection>();
  #next = 1;
  #tokens = new Map<string, { user: FakeUser; sessionId: string; until: number }>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  id(kind: number): string {
    return uuid(kind, this.#next++);
  }
  stamp(): string {
    return new Date(this.clock.now()).toISOString();
  }

  // ---- What a test sets up and does

  addUser(username: string, password = "password"): FakeUser {
    const user: FakeUser = {
      shape: { user_id: this.id(1), username, display_name: username, admin: false },
      password,
      sessions: new Map(),
      streamSeq: 0,
    };
    this.users.set(user.shape.user_id, user);
    return user;
  }

  addRoom(name: string, ...members: FakeUser[]): FakeRoom {
    const ids = members.map(({ shape }) => shape.user_id);
    const room = new FakeRoom(this.id(2), name, ids);
    this.rooms.set(room.id, room);
    return room;
  }

  /** Somebody says something, by other means than the client under test unless `from` names its connection. */
  say(room: FakeRoom, user: FakeUser, content: string, from?: { connection: Connection; id: string }): EventFrame {
    return this.#store(room, user, { type: "chat", content }, from?.connection ?? null, {}, from?.id);
  }

  /** A message is taken back. */
  takeBack(room: FakeRoom, user: FakeUser, target: number, except: Connection | null = null): EventFrame {
    const more = { target: room.blank(target, this.stamp()), target_seq: target };
    return this.#store(room, user, { type: "delete" }, except, more);
  }

  join(room: FakeRoom, user: FakeUser): void {
    room.members.set(user.shape.user_id, { role: "member", read: room.number });
    const { user_id } = user.shape;
    this.#store(room, user, { type: "join" }, null, { reason: "joined", subject: user_id, by: user_id });
  }

  /** Somebody is put out. */
  remove(room: FakeRoom, user: FakeUser): void {
    const { user_id } = user.shape;
    this.#store(room, user, { type: "leave" }, null, { reason: "removed", subject: user_id, by: user_id });
    room.members.delete(user_id);
    this.stream(user, room, { event: "removed", by: user_id });
  }

  /** Old events are cleaned up. */
  trim(room: FakeRoom, firstSeq: number): void {
    room.firstSeq = firstSeq;
  }

  /** A backup was restored: events after `seq` never happened. */
  restore(room: FakeRoom, seq: number): void {
    room.restore(seq);
  }

  /** All connections (of one user) break, without a word or with a code. */
  drop(code = 1006, user: FakeUser | null = null): void {
    for (const connection of [...this.#connections]) {
      if (user === null || connection.user === user) this.#close(connection, code);
    }
  }

  /** From now on live events of this room do not reach the connections that are open; `unshed` tells them. */
  shed(room: FakeRoom): void {
    for (const connection of this.#connections) connection.shed.set(room.id, room.events.length);
  }
  unshed(room: FakeRoom): void {
    for (const connection of this.#connections) {
      const seq = connection.shed.get(room.id);
      if (seq !== undefined) {
        connection.shed.delete(room.id);
        this.#send(connection, {
          type: "resync",
          room_id: room.id,
          metadata: { position: { epoch: room.epoch, seq } },
        });
      }
    }
  }

  notice(metadata: JsonObject): void {
    for (const connection of this.#connections) this.#send(connection, { type: "notice", metadata });
  }

  /** Any line, as it is. */
  line(text: string): void {
    for (const connection of this.#connections) this.#later(connection, () => connection.callbacks.onText(text));
  }

  endSession(user: FakeUser, sessionId?: string): void {
    for (const [id, session] of user.sessions) {
      if (sessionId === undefined || id === sessionId) {
        session.ended = true;
        for (const one of this.#of(user)) if (one.sessionId === id) this.#close(one, 4410);
      }
    }
  }

  connections(user?: FakeUser): number {
    return [...this.#connections].filter((one) => one.open && (!user || one.user === user)).length;
  }

  // ---- Sign-in, used by fakeRest.ts

  issue(user: FakeUser, sessionId: string): string {
    const token = `token-${this.#next++}`;
    this.#tokens.set(token, { user, sessionId, until: this.clock.now() + this.tokenMs });
    return token;
  }
  holder(token: string): { user: FakeUser; sessionId: string } | "token_expired" | "session_ended" | null {
    const found = this.#tokens.get(token);
    if (!found) return null;
    if (found.user.sessions.get(found.sessionId)?.ended !== false) return "session_ended";
    return found.until <= this.clock.now() ? "token_expired" : found;
  }

  /** One browser's way to REST, with its cookies. */
  fetcher(): (url: string, init: RequestInit) => Promise<Response> {
    const cookies = { refresh: "" };
    return (url, init) => {
      if (this.down) return Promise.reject(new TypeError("fetch failed"));
      return Promise.resolve(answerRest(this, cookies, url, init));
    };
  }

  // ---- The socket

  readonly transport: Transport = (_url, callbacks): Socket => {
    const connection: Connection = { callbacks, user: null, sessionId: "", open: true, shed: new Map() };
    if (this.down) {
      this.clock.after(WAY_MS, () => {
        if (connection.open) callbacks.onClose(1006);
      });
    } else {
      this.#connections.add(connection);
      this.#later(connection, () => callbacks.onOpen());
    }
    return {
      send: (text) => {
        this.clock.after(WAY_MS, () => {
          if (this.#connections.has(connection) && !this.mute) this.#read(connection, text);
        });
      },
      close: () => {
        connection.open = false;
        this.#connections.delete(connection);
      },
    };
  };

  #later(connection: Connection, task: () => void): void {
    if (this.mute) return;
    this.clock.after(WAY_MS, () => {
      if (connection.open) task();
    });
  }

  #send(connection: Connection, frame: JsonObject): void {
    const text = JSON.stringify(frame);
    this.#later(connection, () => connection.callbacks.onText(text));
  }

  #close(connection: Connection, code: number): void {
    if (this.#connections.delete(connection)) {
      // What was on its way is lost, but for an orderly close.
      const lost = code === 1006;
      if (lost) connection.open = false;
      this.clock.after(WAY_MS, () => {
        connection.open = false;
        connection.callbacks.onClose(code);
      });
    }
  }

  #of(user: FakeUser): Connection[] {
    return [...this.#connections].filter((one) => one.user === user);
  }

  #read(connection: Connection, text: string): void {
    const parsed = parseJson(text);
    if (!isObject(parsed)) {
      this.#close(connection, 4400);
      return;
    }
    const frame = parsed as unknown as ClientFrame;
    this.heard.push(frame);
    const fate = this.fate(frame);
    if (fate === "drop") {
      this.#close(connection, 1006);
      return;
    }
    if (fate !== null && fate !== "dropAfter") {
      const metadata = { advice: "", ...fate };
      this.#send(connection, {
        type: "error",
        ...("id" in frame ? { id: frame.id } : {}),
        content: fate.code,
        metadata,
      });
      return;
    }
    if (frame.type === "auth") {
      this.#auth(connection, frame);
    } else if (connection.user === null) {
      this.#close(connection, 4401);
    } else {
      answerFrame(this, connection, connection.user, frame, (answer) => {
        if (fate !== "dropAfter") this.#send(connection, answer);
      });
    }
    if (fate === "dropAfter") this.#close(connection, 1006);
  }

  #auth(connection: Connection, frame: ClientFrame & { type: "auth" }): void {
    const holder = this.holder(frame.content);
    if (holder === null || typeof holder === "string") {
      this.#close(connection, holder === "session_ended" ? 4410 : 4401);
      return;
    }
    if (connection.user) {
      this.#send(connection, { type: "ack", timestamp: this.stamp(), metadata: {} });
      return;
    }
    const { user, sessionId } = holder;
    connection.user = user;
    connection.sessionId = sessionId;
    const rooms = this.roomsOf(user);
    this.#send(connection, {
      type: "hello",
      timestamp: this.stamp(),
      user_id: user.shape.user_id,
      metadata: {
        protocol: 1,
        capabilities: [],
        user: user.shape,
        session_id: sessionId,
        device_id: frame.metadata?.device_id ?? this.id(3),
        limits: LIMITS,
        heartbeat_ms: 10_000,
        rooms: rooms.slice(0, 100),
        more_rooms: rooms.length > 100,
        ...(rooms.length > 100 ? { cursor: "100" } : {}),
        stream: { epoch: 1, seq: user.streamSeq },
      },
    });
  }

  // ---- Who is told

  /** The next event of a room, to all who are in it but the connection that it came from. The sender's own get its id. */
  #store(
    room: FakeRoom,
    user: FakeUser,
    saying: Saying,
    except: Connection | null,
    more: JsonObject = {},
    id?: string,
  ): EventFrame {
    const event = room.append(user.shape.user_id, this.stamp(), saying, more);
    for (const one of this.#in(room)) {
      if (one !== except && !one.shed.has(room.id)) {
        this.#send(one, { ...event, ...(id !== undefined && one.user === user ? { id } : {}) });
      }
    }
    return event;
  }

  /** A passing thing, to all who are in a room but the connection that it came from. */
  tell(room: FakeRoom, except: Connection, frame: JsonObject): void {
    for (const one of this.#in(room)) if (one !== except) this.#send(one, frame);
  }

  /** The next entry of somebody's own stream, to all that they have open. */
  stream(user: FakeUser, room: FakeRoom, metadata: JsonObject): void {
    user.streamSeq += 1;
    const { user_id } = user.shape;
    const entry = { type: "stream", timestamp: this.stamp(), user_id, room_id: room.id, seq: user.streamSeq, metadata };
    for (const one of this.#of(user)) this.#send(one, entry);
  }

  #in(room: FakeRoom): Connection[] {
    return [...this.#connections].filter(({ user }) => user !== null && room.members.has(user.shape.user_id));
  }

  roomsOf(user: FakeUser): RoomShape[] {
    return [...this.rooms.values()]
      .filter(({ members }) => members.has(user.shape.user_id))
      .map((room) => room.shape(user.shape.user_id));
  }
}
