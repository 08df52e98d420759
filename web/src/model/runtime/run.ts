// One signed-in person in this tab, from sign-in to sign-out: joins the client of the protocol, what is kept, the outbox, the read
// markers and presence, and turns what the server tells into changes of the state.

import type { ClientEffect, Connection, Rest, Tokens } from "@/client";
import type { RoomShape } from "@/protocol";
import type { Change } from "../changes";
import type { State } from "../state";
import type { Message, News, RoomId } from "../types";
import { namesIn, toEvent, toPage, toPerson, toRoom } from "../wire";
import type { Batch } from "./batch";
import { Drafts } from "./drafts";
import { Driver } from "./driver";
import type { Environment, TabMessage } from "./environment";
import { Keeper } from "./keeper";
import { Loading } from "./loading";
import { Lookups } from "./lookups";
import { Names } from "./names";
import { newsIn } from "./news";
import { Presence } from "./presence";
import { Reading } from "./reading";
import { Sending } from "./sending";
import { ShownConnection } from "./shown";
import type { Kept, Storage } from "./storage";

export interface RunOptions {
  readonly env: Environment;
  readonly batch: Batch;
  readonly state: () => State;
  readonly rest: Rest;
  readonly tokens: Tokens;
  readonly storage: Storage;
  readonly userId: string;
  readonly deviceId: string;
  /** A fresh UUIDv7, by the server's clock as far as it is known. */
  readonly newId: () => string;
  /** How far the server's clock is ahead. */
  readonly onClock: (ahead: number) => void;
  readonly onNews: (news: News) => void;
  readonly onEnded: (why: "session_ended" | "suspended" | "expired" | "other") => void;
}

export class Run {
  readonly driver: Driver;
  readonly sending: Sending;
  readonly reading: Reading;
  readonly presence: Presence;
  readonly keeper: Keeper;
  readonly names: Names;
  readonly lookups: Lookups;
  readonly loading: Loading;
  readonly drafts: Drafts;
  readonly #shown: ShownConnection;
  readonly #options: RunOptions;
  #stepBack: () => void = () => undefined;
  #insisted = false;
  #leading = false;
  #busy = 0;
  #live = false;
  #over = false;

  constructor(options: RunOptions) {
    this.#options = options;
    const { env, state, rest, tokens, storage, newId } = options;
    const show = (...changes: readonly Change[]): void => this.#show(...changes);
    this.driver = new Driver({
      env,
      deviceId: options.deviceId,
      newId,
      token: (fresh) => tokens.get(fresh),
      onEffects: (effects) => this.#take(effects),
      onSettled: () => this.#settled(),
      onEnded: (why) => this.#ended(why),
    });
    const { driver } = this;
    this.sending = new Sending({
      driver,
      storage,
      newId,
      now: () => env.now(),
      tell: (message) => env.tabs.tell(message),
      show,
      limits: () => ({ chars: state().limits.contentChars, waiting: state().outbox.limit }),
    });
    this.reading = new Reading({ env, driver, state, show });
    this.presence = new Presence({ env, driver, state, show });
    this.keeper = new Keeper({
      env,
      storage,
      state: () => {
        options.batch.flush();
        return state();
      },
      kept: (places) =>
        driver.with((client) => {
          for (const { roomId, seq } of places) {
            client.tell({ type: "ack", room_id: roomId, seq });
          }
        }),
    });
    this.names = new Names({
      rest,
      after: (ms, task) => env.after(ms, task),
      known: (userId) => state().people[userId] !== undefined,
      found: (person) => show({ do: "people", people: [person] }),
    });
    this.lookups = new Lookups({
      rest,
      now: () => env.now(),
      enter: (shape) => this.enter(shape),
      forget: (roomId) => this.forget(roomId),
    });
    this.#shown = new ShownConnection(env, (connection) => show({ do: "connection", connection }));
    this.drafts = new Drafts(env, storage);
    this.loading = new Loading({
      env,
      batch: options.batch,
      state,
      driver,
      names: this.names,
      changed: () => this.keeper.changed(),
    });
  }

  /** Shows what was kept, and connects. */
  start(kept: Kept): void {
    const { batch, env } = this.#options;
    const { rooms, people, drafts, timelines, sends } = kept;
    batch.now({
      do: "restored",
      rooms,
      people,
      drafts,
      pages: timelines,
    });
    for (const { roomId, epoch, to } of timelines) {
      this.driver.client.positions.restore(roomId, { epoch, seq: to });
    }
    this.sending.restore(sends);
    batch.flush();
    this.#lead(env.page().focused);
    if (!env.page().online) {
      this.driver.with((client, now) => client.input({ kind: "offline" }, now));
    }
    this.driver.start();
  }

  /** The page may go: what is not kept yet is kept now. */
  async keep(): Promise<void> {
    this.drafts.flush();
    await this.keeper.write();
  }

  /** Ends it; nothing more is shown or written. */
  stop(): void {
    this.#over = true;
    this.driver.stop();
    this.keeper.close();
    this.reading.stop();
    this.presence.stop();
    this.lookups.stop();
    this.names.stop();
    this.#shown.stop();
    this.#stepBack();
  }

  /** The person looks at this tab: it sends, not one that may be asleep. */
  focused(): void {
    if (!this.#leading && !this.#insisted) {
      this.#lead(true);
    }
  }

  #lead(insist: boolean): void {
    this.#stepBack();
    this.#insisted = insist;
    this.#stepBack = this.#options.env.tabs.lead(`causerie-lead-${this.#options.userId}`, insist, (leading) => {
      if (this.#over) {
        return;
      }
      this.#leading = leading;
      this.keeper.lead(leading);
      void this.sending.lead(leading);
      if (!leading) {
        // Another tab took it. When that one goes, this one is next.
        this.#lead(false);
      }
    });
  }

  /** Changes with the next frame, and to be kept. */
  #show(...changes: readonly Change[]): void {
    this.#options.batch.add(...changes);
    this.keeper.changed();
  }

  #ended(why: "session_ended" | "suspended" | "expired" | "other"): void {
    if (!this.#over) {
      this.#options.onEnded(why);
    }
  }

  /** A room as REST or an answer told it. */
  enter(shape: RoomShape): void {
    const room = toRoom(shape);
    this.driver.with((client) => client.enter(shape.room_id, { epoch: shape.epoch, seq: shape.last_seq }));
    this.#options.batch.now({ do: "rooms", rooms: [room] });
    this.names.want(room.peer ? [room.peer] : []);
    this.presence.watch();
    this.keeper.changed();
  }

  forget(roomId: RoomId): void {
    this.driver.with((client) => client.positions.forget(roomId));
    this.#show({ do: "roomGone", roomId });
  }

  #take(effects: readonly ClientEffect[]): void {
    for (const effect of effects) {
      this.#takeOne(effect);
    }
  }

  #settled(): void {
    const busy = this.driver.client.positions.busy();
    if (busy !== this.#busy) {
      this.#busy = busy;
      this.#show({ do: "connection", connection: { catchingUp: busy } });
    }
  }

  #takeOne(effect: ClientEffect): void {
    switch (effect.do) {
      case "connection":
        this.#connection(effect.connection);
        return;
      case "hello": {
        const { hello } = effect;
        const { limits } = hello;
        this.#options.onClock(Date.parse(effect.timestamp) - this.#options.env.now());
        this.#show(
          { do: "session", session: { me: toPerson(hello.user), sessionId: hello.session_id } },
          {
            do: "limits",
            limits: {
              contentChars: limits.content_chars,
              messagesPerSecond: limits.messages_per_second,
              pageRows: limits.page_rows,
            },
          },
        );
        this.names.again();
        return;
      }
      case "rooms":
        this.#rooms(effect.rooms);
        return;
      case "roomsWhole":
        this.#show({ do: "roomsWhole", roomIds: effect.roomIds });
        this.#options.batch.flush();
        // All that is to be told of us waits for the rooms.
        this.reading.connected();
        this.presence.connected();
        this.#loadOpenRoom();
        return;
      case "deliver":
        this.#deliver(effect);
        return;
      case "newest": {
        const page = toPage(effect.roomId, effect.page, null);
        this.#show({ do: "newest", page, lost: effect.reason !== "far" && effect.reason !== "future" });
        this.names.want(namesIn(page.events));
        return;
      }
      case "gone":
        this.#show({ do: "roomGone", roomId: effect.roomId });
        return;
      case "unknownRoom":
        void this.lookups.room(effect.roomId);
        return;
      case "sendState":
        this.sending.changed(effect.id, effect.state);
        return;
      case "acked":
        this.sending.acked(effect.message, effect.seq);
        this.reading.spoke(effect.message.roomId, effect.seq);
        return;
      case "presence": {
        const { room_id: roomId, metadata } = effect.frame;
        const users = Object.fromEntries(metadata.users.map((user) => [user.user_id, user.status]));
        this.#show({
          do: "presence",
          users,
          roomId: roomId ?? null,
          online: roomId === undefined ? null : metadata.online,
        });
        return;
      }
      case "typing":
        this.presence.heard(effect.frame.room_id, effect.frame.user_id, effect.frame.metadata.active);
        this.names.want([effect.frame.user_id]);
        return;
      case "stream": {
        const { room_id: roomId, metadata } = effect.frame;
        if (metadata.event === "added") {
          void this.lookups.room(roomId);
        } else if (metadata.event === "removed") {
          this.forget(roomId);
        } else if (metadata.event === "read" && metadata.number !== undefined) {
          this.#show({ do: "read", roomId, number: metadata.number });
        }
        return;
      }
      default:
        return;
    }
  }

  #connection(connection: Connection): void {
    const { phase, reason } = connection;
    const live = phase.at === "live";
    this.#shown.took(connection);
    const was = this.#live;
    this.#live = live;
    if (was && !live) {
      // Who is there and who types is not known without a connection.
      this.#show({ do: "presenceUnknown" });
    }
    if (phase.at === "stopped" && (reason === "session_ended" || reason === "suspended")) {
      this.#ended(reason);
    }
  }

  #rooms(shapes: readonly RoomShape[]): void {
    const rooms = shapes.map(toRoom);
    this.#show({ do: "rooms", rooms });
    this.names.want(rooms.flatMap((room) => (room.peer ? [room.peer] : [])));
    this.#options.batch.flush();
    for (const { roomId, readNumber } of rooms) {
      this.reading.told(roomId, readNumber);
    }
  }

  #deliver(effect: ClientEffect & { do: "deliver" }): void {
    const { roomId, place, late } = effect;
    const events = effect.events.map(toEvent);
    this.#show({ do: "events", roomId, epoch: place.epoch, to: place.seq, events });
    const keys = new Set(events.flatMap((event) => (event.kind === "message" ? [event.message.key] : [])));
    this.sending.delivered(roomId, place.seq, keys);
    this.names.want(namesIn(events));
    const me = this.#options.userId;
    const mine = events.findLast(
      (event) => event.kind === "notice" && MOVES.has(event.notice.what) && event.notice.subject === me,
    );
    if (mine?.kind === "notice") {
      if (mine.notice.what === "left" || mine.notice.what === "removed") {
        this.forget(roomId);
        return;
      }
      void this.lookups.room(roomId);
    } else if (events.some((event) => event.kind === "notice" && event.notice.what === "settings")) {
      void this.lookups.room(roomId);
    }
    const others = events.flatMap((event) =>
      event.kind === "message" && event.message.userId !== me ? [event.message] : [],
    );
    const first = others[0];
    if (first) {
      this.reading.came(roomId, first.number ?? 0);
      const fresh = late ? [] : others;
      if (this.#options.state().rooms.byId[roomId]) {
        this.#news(roomId, fresh);
      } else {
        // The first words of a room that somebody just made.
        void this.lookups.room(roomId).then(() => this.#news(roomId, fresh));
      }
    }
  }

  #news(roomId: RoomId, messages: readonly Message[]): void {
    const { env, state, onNews } = this.#options;
    for (const one of newsIn(state(), roomId, messages, env.now())) {
      onNews(one);
    }
  }

  #loadOpenRoom(): void {
    const { view, timelines } = this.#options.state();
    const { roomId } = view;
    if (roomId !== null) {
      const timeline = timelines[roomId];
      if (!timeline || timeline.problem || timeline.events.length === 0) {
        void this.loading.older(roomId);
      }
      if (view.line === null) {
        this.reading.opened(roomId);
      }
    }
  }

  /** Another tab told something. */
  heard(message: TabMessage): void {
    void this.sending.heard(message);
    if (message.kind === "draft" && this.#options.state().view.roomId !== message.roomId) {
      this.#show({ do: "draft", roomId: message.roomId, text: message.text });
    }
  }
}

const MOVES = new Set(["joined", "added", "left", "removed"]);
