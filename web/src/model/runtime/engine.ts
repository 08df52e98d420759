// The engine behind the thunks: who is signed in, and what a signed-in person asks for. What is live is in `run.ts`.

import { isOver, Rest, type SharedToken, Tokens } from "@/client";
import type { SignedIn } from "@/protocol";
import type { Change } from "../changes";
import type { Engine, SignUp } from "../engine";
import type { State } from "../state";
import type { News, Person, Result, RoomId, SessionState, Settings } from "../types";
import { toPerson } from "../wire";
import { Batch } from "./batch";
import { type Answered, Calls, NOT_NOW, OK } from "./calls";
import type { Environment, Happening, TabMessage } from "./environment";
import { idMaker } from "./ids";
import { Run } from "./run";
import type { Account, Storage } from "./storage";

/** How often the cookie is tried again when the server cannot be asked who one is. */
const AGAIN_MS = 5000;
/** After this a call at the door that got no answer is made once more: connections break, and nobody should have to press twice for that. */
const DOOR_AGAIN_MS = 1000;

export class LiveEngine extends Calls implements Engine {
  protected readonly env: Environment;
  protected readonly rest: Rest;
  readonly #tokens: Tokens;
  protected readonly newId: () => string;
  readonly #listeners = new Set<(news: News) => void>();
  protected batch!: Batch;
  protected state!: () => State;
  protected run: Run | null = null;
  #ahead = 0;
  /** The name of a sign-up whose answer was lost: there may be that account, and it may be ours. */
  #unsure: string | null = null;
  #unlisten: () => void = () => undefined;
  #stopped = false;

  constructor(env: Environment) {
    super();
    this.env = env;
    this.newId = idMaker(
      () => env.now() + this.#ahead,
      () => env.random(),
    );
    this.rest = new Rest({
      origin: env.origin,
      fetch: (url, init) => env.fetch(url, init),
      token: async (fresh) => {
        const renewed = await this.#tokens.get(fresh);
        if (renewed.is === "ended") {
          void this.#ended(renewed.refusal.code === "suspended" ? "suspended" : "session_ended");
        } else if (renewed.is === "other") {
          void this.#restart();
        }
        return renewed.is === "token" ? renewed.token : null;
      },
    });
    this.#tokens = new Tokens({
      now: () => env.now(),
      refresh: () => this.rest.open("refresh", { body: { cookie: true } }),
      alone: (task) => env.tabs.alone("causerie-refresh", task),
      tell: (token: SharedToken) => env.tabs.tell({ kind: "token", token }),
    });
  }

  /** The store that this engine changes. */
  attach(state: () => State, apply: (changes: readonly Change[]) => void): void {
    this.state = state;
    this.batch = new Batch(apply, (task) => this.env.soon(task));
  }

  // ---- Who one is

  async start(): Promise<void> {
    const { visible, focused } = this.env.page();
    this.batch.now({ do: "settings", settings: this.env.settings() }, { do: "view", view: { visible, focused } });
    this.env.tabs.onMessage((message) => this.#heard(message));
    this.#unlisten = this.env.onHappening((happening) => this.#happened(happening));
    await this.#begin();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unlisten();
    await this.run?.keep();
    this.run?.stop();
    this.run = null;
    this.env.tabs.close();
  }

  /** Who is signed in here? The cookie tells; without a network, what was kept. */
  async #begin(): Promise<void> {
    const account = await this.env.storages.account();
    if (account === null) {
      this.batch.now({ do: "session", session: { phase: "signedOut" } });
      return;
    }
    if (account !== "unknown") {
      // Shown at once; the server is asked meanwhile.
      await this.#enter(account);
      return;
    }
    const answer = await this.#tokens.begin();
    if (answer.ok) {
      await this.#signedIn(answer.value);
    } else if (isOver(answer.refusal) || this.#stopped) {
      this.batch.now({ do: "session", session: { phase: "signedOut" } });
    } else {
      // Nobody can be asked. Without anything kept there is nothing to show either: sign-in tells what is wrong.
      this.batch.now({ do: "session", session: { phase: "signedOut" } });
      this.env.after(AGAIN_MS, () => {
        if (this.state().session.phase === "signedOut" && this.state().session.ended === null && !this.#stopped) {
          void this.#begin();
        }
      });
    }
  }

  async #signedIn(answer: SignedIn): Promise<Person> {
    const person = toPerson(answer.user);
    const account: Account = { person, deviceId: answer.device_id };
    this.#tokens.set(answer);
    await this.env.storages.setAccount(account);
    this.env.tabs.tell({ kind: "signedIn", account });
    this.batch.now({ do: "session", session: { sessionId: answer.session_id } });
    await this.#enter(account);
    return person;
  }

  async #enter({ person, deviceId }: Account): Promise<void> {
    this.run?.stop();
    this.run = null;
    const { storage, found } = await this.env.storages.open(person.userId);
    if (this.#stopped) {
      return;
    }
    const run = new Run({
      env: this.env,
      batch: this.batch,
      state: () => this.state(),
      rest: this.rest,
      tokens: this.#tokens,
      storage,
      userId: person.userId,
      deviceId,
      newId: this.newId,
      onClock: (ahead) => {
        // A clock that is right to half a minute is right enough.
        this.#ahead = Math.abs(ahead) > 30_000 ? ahead : 0;
      },
      onNews: (news) => {
        for (const listener of this.#listeners) {
          listener(news);
        }
      },
      onEnded: (why) => void (why === "other" ? this.#restart() : this.#ended(why)),
    });
    this.run = run;
    this.#storage = storage;
    const session: Partial<SessionState> = { phase: "signedIn", me: person, deviceId, ended: null };
    this.batch.now({ do: "storage", storage: storage.kept ? "kept" : "memory" }, { do: "session", session });
    run.start(found);
  }
  #storage: Storage | null = null;

  async signUp(wish: SignUp): Promise<Result<Person>> {
    const { username, password, displayName, invite } = wish;
    const body = {
      username,
      password,
      cookie: true,
      ...(displayName === undefined ? {} : { display_name: displayName }),
      ...(invite === undefined ? {} : { invite }),
    };
    const answer = await this.#twice(() => this.rest.open("signup", { body }), username);
    if (!answer.ok && answer.refusal.code === "name_taken" && this.#unsure === username) {
      // With another password it is somebody else's.
      const known = await this.rest.open("login", { body: { username, password, cookie: true } });
      return this.#enterBy(known.ok ? known : answer);
    }
    return this.#enterBy(answer);
  }

  /** Makes a call of somebody who is not signed in, once more if no answer came. */
  async #twice<T>(call: () => Promise<Answered<T>>, name: string | null = null): Promise<Answered<T>> {
    const answer = await call();
    if (answer.ok || answer.refusal.code !== "network") {
      return answer;
    }
    this.#unsure = name ?? this.#unsure;
    if (!this.env.page().online) {
      return answer;
    }
    await new Promise<void>((done) => void this.env.after(DOOR_AGAIN_MS, done));
    return call();
  }

  async signIn(username: string, password: string): Promise<Result<Person>> {
    const account = await this.#account();
    const device = account?.person.username.toLowerCase() === username.toLowerCase() ? account.deviceId : undefined;
    const body = { username, password, cookie: true, ...(device === undefined ? {} : { device_id: device }) };
    return this.#enterBy(await this.#twice(() => this.rest.open("login", { body })));
  }

  async #enterBy(answer: Answered<SignedIn>): Promise<Result<Person>> {
    if (!answer.ok) {
      return this.no(answer.refusal);
    }
    this.#unsure = null;
    this.#tokens.clear();
    return { ok: true, value: await this.#signedIn(answer.value) };
  }

  async signOut(): Promise<Result> {
    const userId = this.state().session.me?.userId;
    if (userId === undefined) {
      return OK;
    }
    this.batch.now({ do: "session", session: { phase: "signingOut" } });
    const run = this.run;
    this.run = null;
    run?.stop();
    // Without a network the session runs out by itself; what is kept here goes in any case.
    await this.rest.call("logout", {});
    await this.#leave(false);
    this.env.tabs.tell({ kind: "signedOut", userId, ended: null });
    this.batch.now({ do: "reset", ended: null });
    return OK;
  }

  /** The session is over, and not by one's own wish. What one wrote and did not send is kept for the next sign-in. */
  async #ended(why: "session_ended" | "suspended" | "expired"): Promise<void> {
    const userId = this.state().session.me?.userId;
    if (this.state().session.phase !== "signedIn" || userId === undefined) {
      return;
    }
    const ended = why === "session_ended" ? "revoked" : why;
    this.run?.stop();
    this.run = null;
    this.batch.now({ do: "reset", ended });
    await this.#leave(true);
    this.env.tabs.tell({ kind: "signedOut", userId, ended });
  }

  async #leave(keepWords: boolean): Promise<void> {
    this.#tokens.clear();
    await this.env.storages.setAccount(null);
    await this.#storage?.wipe(keepWords).catch(() => undefined);
    this.#storage?.close();
    this.#storage = null;
  }

  /** Somebody else signed in in this browser: this tab follows. */
  async #restart(): Promise<void> {
    this.run?.stop();
    this.run = null;
    this.#storage?.close();
    this.#storage = null;
    this.#tokens.clear();
    this.batch.now({ do: "reset", ended: null }, { do: "session", session: { phase: "starting" } });
    await this.#begin();
  }

  #heard(message: TabMessage): void {
    const me = this.state().session.me?.userId;
    switch (message.kind) {
      case "token":
        if (message.token.userId === me) {
          this.#tokens.taken(message.token);
        }
        return;
      case "signedIn":
        if (message.account.person.userId !== me) {
          void this.#restart();
        }
        return;
      case "signedOut":
        if (message.userId === me) {
          this.run?.stop();
          this.run = null;
          this.#storage?.close();
          this.#storage = null;
          this.#tokens.clear();
          this.batch.now({ do: "reset", ended: message.ended });
        }
        return;
      case "settings":
        this.batch.now({ do: "settings", settings: message.settings });
        return;
      default:
        this.run?.heard(message);
    }
  }

  #happened(happening: Happening): void {
    const run = this.run;
    const { visible, focused } = this.env.page();
    const input = (kind: "online" | "offline" | "awake"): void =>
      run?.driver.with((client, now) => client.input({ kind }, now));
    switch (happening) {
      case "online":
      case "offline":
        input(happening);
        return;
      case "seen":
      case "focus":
        this.batch.now({ do: "view", view: { visible, focused } });
        run?.focused();
        run?.presence.touched();
        if (happening === "seen") {
          input("awake");
        }
        return;
      case "hidden":
      case "blur":
        this.batch.now({ do: "view", view: { visible, focused } });
        run?.reading.lookedAway();
        if (happening === "hidden") {
          void run?.keep();
        }
        return;
      case "touch":
        run?.presence.touched();
        return;
      case "leaving":
        void run?.keep();
        return;
    }
  }

  async changeProfile({ displayName }: { displayName: string }): Promise<Result<Person>> {
    const answer = await this.rest.call("change_me", { body: { display_name: displayName } });
    if (!answer.ok) {
      return this.no(answer.refusal);
    }
    const me = toPerson(answer.value);
    this.batch.now({ do: "session", session: { me } }, { do: "people", people: [me] });
    const account = await this.#account();
    if (account) {
      await this.env.storages.setAccount({ ...account, person: me });
    }
    return { ok: true, value: me };
  }

  async #account(): Promise<Account | null> {
    const account = await this.env.storages.account();
    return account === "unknown" ? null : account;
  }

  reconnect(): void {
    this.run?.driver.with((client, now) => client.input({ kind: "now" }, now));
  }

  // ---- The open room

  async openRoom(roomId: RoomId): Promise<Result> {
    const run = this.run;
    if (!run) {
      return NOT_NOW;
    }
    if (this.state().view.roomId !== roomId) {
      run.reading.opened(roomId);
      this.batch.flush();
    }
    run.presence.watch();
    if (!this.state().members[roomId] && this.state().rooms.byId[roomId]?.joined) {
      void this.loadMembers(roomId, false);
    }
    const timeline = this.state().timelines[roomId];
    return timeline && timeline.events.length >= FIRST_ROWS ? OK : run.loading.older(roomId);
  }

  closeRoom(): void {
    this.batch.now({ do: "view", view: { roomId: null, line: null } });
    this.run?.presence.watch();
  }

  loadOlder(roomId: RoomId): Promise<Result> {
    return this.run?.loading.older(roomId) ?? Promise.resolve(NOT_NOW);
  }

  loadToUnread(roomId: RoomId): Promise<Result<string | null>> {
    return this.run?.loading.toUnread(roomId) ?? Promise.resolve(NOT_NOW);
  }

  readUpTo(roomId: RoomId, seq: number): void {
    this.run?.reading.readUpTo(roomId, seq);
  }

  markRead(roomId: RoomId): void {
    this.run?.reading.markRead(roomId);
    this.batch.flush();
  }

  // ---- Saying something

  async send(roomId: RoomId, text: string): Promise<Result<string>> {
    const run = this.run;
    if (!run) {
      return NOT_NOW;
    }
    const result = await run.sending.send(roomId, text);
    if (result.ok) {
      run.presence.said(roomId);
      this.setDraft(roomId, "");
      this.batch.flush();
    }
    return result;
  }

  async retrySend(id: string): Promise<Result> {
    const result = (await this.run?.sending.retry(id)) ?? NOT_NOW;
    this.batch.flush();
    return result;
  }

  async discardSend(id: string): Promise<Result> {
    const result = (await this.run?.sending.discard(id)) ?? NOT_NOW;
    this.batch.flush();
    return result;
  }

  async takeBack(roomId: RoomId, seq: number): Promise<Result> {
    const answer = await this.run?.driver.request({ type: "delete", room_id: roomId, seq });
    if (!answer || answer.is === "lost") {
      return NOT_NOW;
    }
    return answer.is === "refused" ? this.no(answer.refusal) : OK;
  }

  setDraft(roomId: RoomId, text: string): void {
    if ((this.state().drafts[roomId] ?? "") !== text) {
      this.batch.now({ do: "draft", roomId, text });
      this.run?.drafts.put(roomId, text);
    }
  }

  typing(roomId: RoomId, active: boolean): void {
    this.run?.presence.typing(roomId, active);
  }

  setSettings(change: Partial<Settings>): void {
    this.batch.now({ do: "settings", settings: change });
    const { settings } = this.state();
    this.env.keepSettings(settings);
    this.env.tabs.tell({ kind: "settings", settings });
  }

  onNews(listener: (news: News) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Rows that fill a screen: with fewer, a page is loaded when the room is opened. */
const FIRST_ROWS = 40;
