// One browser in memory: what its tabs share (storage, locks, a channel, cookies), and tabs that are opened, reloaded and closed.

import type { Transport } from "@/client";
import { type Model, modelIn } from "@/model/create";
import type { Environment, Happening, TabMessage, Tabs } from "@/model/runtime/environment";
import type { Account, KeptSend, KeptTimeline, Opened, Storage, Storages } from "@/model/runtime/storage";
import type { Person, Room, Settings } from "@/model/types";

interface UserData {
  rooms: Map<string, Room>;
  timelines: Map<string, KeptTimeline>;
  people: Map<string, Person>;
  drafts: Map<string, string>;
  sends: Map<string, KeptSend>;
}
const noData = (): UserData => ({
  rooms: new Map(),
  timelines: new Map(),
  people: new Map(),
  drafts: new Map(),
  sends: new Map(),
});

/** What the tabs of a browser share. */
export class Disk implements Storages {
  stored: Account | null = null;
  readonly users = new Map<string, UserData>();
  /** Every write fails, as on a full disk. */
  full = false;

  account(): Promise<Account | null> {
    return Promise.resolve(this.stored);
  }
  setAccount(account: Account | null): Promise<void> {
    this.stored = account;
    return Promise.resolve();
  }
  open(userId: string): Promise<Opened> {
    let data = this.users.get(userId);
    if (!data) {
      data = noData();
      this.users.set(userId, data);
    }
    const user = data;
    const check = (): void => {
      if (this.full) throw new Error("the disk is full");
    };
    const all = <T>(map: Map<string, T>): T[] => structuredClone([...map.values()]);
    const storage: Storage = {
      kept: true,
      sends: () => Promise.resolve(all(user.sends)),
      write: async ({ rooms, timelines, people, gone }) => {
        await Promise.resolve();
        check();
        for (const room of structuredClone(rooms)) user.rooms.set(room.roomId, room);
        for (const timeline of structuredClone(timelines)) user.timelines.set(timeline.roomId, timeline);
        for (const person of structuredClone(people)) user.people.set(person.userId, person);
        for (const roomId of gone) {
          user.rooms.delete(roomId);
          user.timelines.delete(roomId);
        }
      },
      putDraft: async (roomId, text) => {
        await Promise.resolve();
        check();
        if (text === "") user.drafts.delete(roomId);
        else user.drafts.set(roomId, text);
      },
      putSend: async (send) => {
        await Promise.resolve();
        check();
        user.sends.set(send.id, structuredClone(send));
      },
      deleteSend: async (id) => {
        await Promise.resolve();
        user.sends.delete(id);
      },
      wipe: async (keepWords) => {
        await Promise.resolve();
        user.rooms.clear();
        user.timelines.clear();
        user.people.clear();
        if (!keepWords) {
          user.drafts.clear();
          user.sends.clear();
        }
      },
      close: () => undefined,
    };
    const found = {
      rooms: all(user.rooms),
      timelines: all(user.timelines),
      people: all(user.people),
      drafts: Object.fromEntries(user.drafts),
      sends: all(user.sends),
    };
    return Promise.resolve({ storage, found });
  }
}

/** Locks as Web Locks have them: one holder a name, the others in order; who insists takes it. */
class Locks {
  readonly #holders = new Map<string, { lost: () => void }>();
  readonly #queues = new Map<string, { start: () => void }[]>();

  lead(name: string, insist: boolean, onLead: (leading: boolean) => void): () => void {
    let state: "waiting" | "held" | "over" = "waiting";
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    const holder = {
      lost: () => {
        if (state === "held") {
          state = "over";
          onLead(false);
        }
      },
    };
    const entry = {
      start: () => {
        state = "held";
        this.#holders.set(name, holder);
        onLead(true);
      },
    };
    const held = this.#holders.get(name);
    if (!held || insist) {
      this.#holders.set(name, holder);
      // As with real locks, never before this call has returned.
      setImmediate(() => {
        held?.lost();
        if (state === "waiting") entry.start();
      });
    } else {
      queue.push(entry);
    }
    return () => {
      const was = state;
      state = "over";
      const place = queue.indexOf(entry);
      if (place >= 0) queue.splice(place, 1);
      if (was === "held" && this.#holders.get(name) === holder) {
        this.#holders.delete(name);
        const next = queue.shift();
        setImmediate(() => next?.start());
      }
    };
  }

  #chains = new Map<string, Promise<unknown>>();
  alone<T>(name: string, task: () => Promise<T>): Promise<T> {
    const before = this.#chains.get(name) ?? Promise.resolve();
    const run = before.then(task, task);
    this.#chains.set(
      name,
      run.catch(() => undefined),
    );
    return run;
  }
}

export interface World {
  now(): number;
  after(ms: number, task: () => void): () => void;
  random(): number;
  readonly transport: Transport;
  /** Calls of this browser; it keeps the cookie. */
  fetch(url: string, init: RequestInit): Promise<Response>;
  readonly origin: string;
}

export class Browser {
  readonly disk = new Disk();
  readonly #locks = new Locks();
  readonly #tabs = new Set<Tab>();
  readonly world: World;
  settings: Partial<Settings> = {};
  online = true;

  constructor(world: World) {
    this.world = world;
  }

  /** Opens a tab and starts the app in it. */
  async open(): Promise<Tab> {
    const tab = new Tab(this);
    for (const other of this.#tabs) other.look(false);
    this.#tabs.add(tab);
    await tab.model.start();
    return tab;
  }

  /** The network goes or comes, as the browser sees it. */
  network(online: boolean): void {
    this.online = online;
    for (const tab of this.#tabs) tab.happen(online ? "online" : "offline");
  }

  tell(from: Tab, message: TabMessage): void {
    const copy = structuredClone(message);
    for (const tab of this.#tabs) {
      if (tab !== from) setImmediate(() => tab.hear(copy));
    }
  }
  closed(tab: Tab): void {
    this.#tabs.delete(tab);
  }
  get locks(): Locks {
    return this.#locks;
  }
}

export class Tab {
  readonly model: Model;
  readonly browser: Browser;
  #hear: (message: TabMessage) => void = () => undefined;
  #happen: (happening: Happening) => void = () => undefined;
  readonly #releases = new Set<() => void>();
  #gone = false;
  visible = true;
  focused = true;

  constructor(browser: Browser) {
    this.browser = browser;
    this.model = modelIn(this.#environment());
  }

  get state() {
    return this.model.store.getState();
  }
  get dispatch() {
    return this.model.store.dispatch;
  }

  hear(message: TabMessage): void {
    if (!this.#gone) this.#hear(message);
  }
  happen(happening: Happening): void {
    if (!this.#gone) this.#happen(happening);
  }
  /** The person looks here, or away. */
  look(here: boolean): void {
    this.visible = here;
    this.focused = here;
    this.happen(here ? "seen" : "hidden");
    this.happen(here ? "focus" : "blur");
  }

  /** The tab is killed: nothing is written any more, its locks are free. */
  kill(): void {
    this.#gone = true;
    this.browser.closed(this);
    for (const release of this.#releases) release();
  }
  /** The tab is closed in an orderly way. */
  async close(): Promise<void> {
    await this.model.stop();
    this.kill();
  }

  #environment(): Environment {
    const { browser } = this;
    const { world } = browser;
    const alive =
      (task: () => void): (() => void) =>
      () => {
        if (!this.#gone) task();
      };
    const tabs: Tabs = {
      tell: (message) => {
        if (!this.#gone) browser.tell(this, message);
      },
      onMessage: (listener) => {
        this.#hear = listener;
      },
      alone: (name, task) => browser.locks.alone(name, task),
      lead: (name, insist, onLead) => {
        const release = browser.locks.lead(name, insist, (leading) => {
          if (!this.#gone) onLead(leading);
        });
        this.#releases.add(release);
        return release;
      },
      close: () => undefined,
    };
    return {
      origin: world.origin,
      socketUrl: `${world.origin.replace("https", "wss")}/ws/chat`,
      now: () => world.now(),
      random: () => world.random(),
      after: (ms, task) => world.after(ms, alive(task)),
      soon: (task) => void world.after(16, alive(task)),
      transport: (url, callbacks) => {
        const socket = world.transport(url, {
          onOpen: alive(() => callbacks.onOpen()),
          onText: (text) => {
            if (!this.#gone) callbacks.onText(text);
          },
          onBinary: alive(() => callbacks.onBinary()),
          onClose: (code) => {
            if (!this.#gone) callbacks.onClose(code);
          },
        });
        this.#releases.add(() => socket.close());
        return socket;
      },
      fetch: (url, init) => world.fetch(url, init),
      storages: browser.disk,
      tabs,
      settings: () => browser.settings,
      keepSettings: (settings) => {
        browser.settings = settings;
      },
      page: () => ({ visible: this.visible, focused: this.focused, online: browser.online }),
      onHappening: (listener) => {
        this.#happen = listener;
        return () => undefined;
      },
    };
  }
}
