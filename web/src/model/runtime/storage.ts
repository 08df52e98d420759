// What is kept in this browser, one database for each person: rooms, the newest part of their timelines with the positions, drafts,
// and what waits to be sent. A timeline and its position are one record, so that they never disagree.
//
// Where the browser keeps nothing (private windows, no room left) the same is kept in memory, and the state says so.

import { type DBSchema, deleteDB, type IDBPDatabase, openDB } from "idb";
import type { Refusal } from "@/client";
import type { Sealed } from "../content";
import type { TimelineEvent } from "../state";
import type { Person, Room, RoomId } from "../types";

/** The newest part of a room's log; everything from `from` to `to` that is shown. */
export interface KeptTimeline {
  readonly roomId: RoomId;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly firstSeq: number;
  readonly lost: boolean;
  readonly events: readonly TimelineEvent[];
}

/** One's own message that is not stored on the server yet. Its id tells its place: UUIDv7s ascend. */
export interface KeptSend {
  readonly id: string;
  readonly roomId: RoomId;
  readonly at: number;
  readonly text: string;
  readonly sealed: Sealed;
  /** It left once, so it may be stored. */
  readonly left: boolean;
  readonly failed: Refusal | null;
}

export interface Kept {
  readonly rooms: readonly Room[];
  readonly timelines: readonly KeptTimeline[];
  readonly people: readonly Person[];
  readonly drafts: Readonly<Record<RoomId, string>>;
  readonly sends: readonly KeptSend[];
}

/** What changed since it was last written. */
export interface Writing {
  readonly rooms: readonly Room[];
  readonly timelines: readonly KeptTimeline[];
  readonly people: readonly Person[];
  /** Rooms of which nothing is to be kept. */
  readonly gone: readonly RoomId[];
}

export interface Storage {
  readonly kept: boolean;
  sends(): Promise<readonly KeptSend[]>;
  write(writing: Writing): Promise<void>;
  putDraft(roomId: RoomId, text: string): Promise<void>;
  putSend(send: KeptSend): Promise<void>;
  deleteSend(id: string): Promise<void>;
  /** Deletes everything, or (`words` kept) all but what the person wrote and did not send. */
  wipe(keepWords: boolean): Promise<void>;
  close(): void;
}

/** Who is signed in in this browser, and its device. */
export interface Account {
  readonly person: Person;
  readonly deviceId: string;
}

/** A storage, and what was in it when it was opened. */
export interface Opened {
  readonly storage: Storage;
  readonly found: Kept;
}

/** Opens what is kept. Handed in, so that tests have their own. */
export interface Storages {
  /** `unknown`: this browser keeps nothing, so only the cookie can tell. */
  account(): Promise<Account | null | "unknown">;
  setAccount(account: Account | null): Promise<void>;
  open(userId: string): Promise<Opened>;
}

interface UserSchema extends DBSchema {
  rooms: { key: string; value: Room };
  timelines: { key: string; value: KeptTimeline };
  people: { key: string; value: Person };
  drafts: { key: string; value: { roomId: string; text: string } };
  sends: { key: string; value: KeptSend };
}

interface DeviceSchema extends DBSchema {
  device: { key: string; value: Account };
}

const STORES = ["rooms", "timelines", "people", "drafts", "sends"] as const;
/** Raise it with the form of what is kept, and say in `upgrade` what becomes of the old. */
const VERSION = 1;
const DEVICE = "causerie";

/** A database that says nothing for so long is taken for none: the page would wait for it for ever, and without a word. */
const SILENT_MS = 10_000;

/** What is asked of a database, unless it says nothing. What comes too late after all is handed to `late`. */
function unlessSilent<T>(asked: Promise<T>, late: (value: T) => void = () => undefined): Promise<T> {
  return new Promise((done, failed) => {
    const silent = setTimeout(() => {
      failed(new Error("the database says nothing"));
      asked.then(late, () => undefined);
    }, SILENT_MS);
    asked.then(done, failed).finally(() => clearTimeout(silent));
  });
}

class KeptStorage implements Storage {
  readonly kept = true;
  readonly #db: IDBPDatabase<UserSchema>;
  readonly #name: string;

  constructor(db: IDBPDatabase<UserSchema>, name: string) {
    this.#db = db;
    this.#name = name;
  }

  async load(): Promise<Kept> {
    const tx = this.#db.transaction(STORES);
    const [rooms, timelines, people, drafts, sends] = await Promise.all([
      tx.objectStore("rooms").getAll(),
      tx.objectStore("timelines").getAll(),
      tx.objectStore("people").getAll(),
      tx.objectStore("drafts").getAll(),
      tx.objectStore("sends").getAll(),
    ]);
    return {
      rooms,
      timelines,
      people,
      drafts: Object.fromEntries(drafts.map(({ roomId, text }) => [roomId, text])),
      sends,
    };
  }

  sends(): Promise<readonly KeptSend[]> {
    return this.#db.getAll("sends");
  }

  async write({ rooms, timelines, people, gone }: Writing): Promise<void> {
    const tx = this.#db.transaction(["rooms", "timelines", "people"], "readwrite");
    await Promise.all([
      ...rooms.map((room) => tx.objectStore("rooms").put(room)),
      ...timelines.map((timeline) => tx.objectStore("timelines").put(timeline)),
      ...people.map((person) => tx.objectStore("people").put(person)),
      ...gone.flatMap((roomId) => [tx.objectStore("rooms").delete(roomId), tx.objectStore("timelines").delete(roomId)]),
      tx.done,
    ]);
  }

  async putDraft(roomId: RoomId, text: string): Promise<void> {
    await (text === "" ? this.#db.delete("drafts", roomId) : this.#db.put("drafts", { roomId, text }));
  }

  async putSend(send: KeptSend): Promise<void> {
    // What the person wrote must survive the machine's sudden end too.
    const tx = this.#db.transaction("sends", "readwrite", { durability: "strict" });
    await Promise.all([tx.store.put(send), tx.done]);
  }

  deleteSend(id: string): Promise<void> {
    return this.#db.delete("sends", id);
  }

  async wipe(keepWords: boolean): Promise<void> {
    const stores = keepWords ? (["rooms", "timelines", "people"] as const) : STORES;
    const tx = this.#db.transaction(stores, "readwrite");
    await Promise.all([...stores.map((name) => tx.objectStore(name).clear()), tx.done]);
    if (!keepWords) {
      this.#db.close();
      // It is empty already. Another tab that has it open still lets go of it when it hears of the sign-out.
      void deleteDB(this.#name).catch(() => undefined);
    }
  }

  close(): void {
    this.#db.close();
  }
}

/** The same in memory, for as long as the page lives. */
class MemoryStorage implements Storage {
  readonly kept = false;
  readonly #sends = new Map<string, KeptSend>();

  sends(): Promise<readonly KeptSend[]> {
    return Promise.resolve([...this.#sends.values()]);
  }
  write(): Promise<void> {
    return Promise.resolve();
  }
  putDraft(): Promise<void> {
    return Promise.resolve();
  }
  putSend(send: KeptSend): Promise<void> {
    this.#sends.set(send.id, send);
    return Promise.resolve();
  }
  deleteSend(id: string): Promise<void> {
    this.#sends.delete(id);
    return Promise.resolve();
  }
  wipe(): Promise<void> {
    this.#sends.clear();
    return Promise.resolve();
  }
  close(): void {
    // Nothing is open.
  }
}

/** IndexedDB of this browser. */
export function browserStorages(): Storages {
  let account: Account | null = null;
  const device = <T>(use: (db: IDBPDatabase<DeviceSchema>) => Promise<T>): Promise<T> => {
    const opening = openDB<DeviceSchema>(DEVICE, 1, { upgrade: (fresh) => void fresh.createObjectStore("device") });
    return unlessSilent(opening.then((db) => use(db).finally(() => db.close())));
  };
  return {
    account: async () => {
      try {
        return (await device((db) => db.get("device", "account"))) ?? null;
      } catch {
        return account ?? "unknown";
      }
    },
    setAccount: async (next) => {
      account = next;
      try {
        await device<unknown>((db) => (next ? db.put("device", next, "account") : db.delete("device", "account")));
      } catch {
        // This browser keeps nothing: `open` says so.
      }
    },
    open: async (userId) => {
      const name = `causerie-${userId}`;
      try {
        const opening = openDB<UserSchema>(name, VERSION, {
          upgrade: (fresh) => {
            fresh.createObjectStore("rooms", { keyPath: "roomId" });
            fresh.createObjectStore("timelines", { keyPath: "roomId" });
            fresh.createObjectStore("people", { keyPath: "userId" });
            fresh.createObjectStore("drafts", { keyPath: "roomId" });
            fresh.createObjectStore("sends", { keyPath: "id" });
          },
          // A newer version of the app, or a sign-out, wants it: let go.
          blocking: (_current, _blocked, event) => (event.target as IDBDatabase | null)?.close(),
        });
        const read = opening.then(async (db) => {
          const storage = new KeptStorage(db, name);
          try {
            return { storage, found: await storage.load() };
          } catch (error) {
            storage.close();
            throw error;
          }
        });
        return await unlessSilent(read, ({ storage }) => storage.close());
      } catch {
        return { storage: new MemoryStorage(), found: { rooms: [], timelines: [], people: [], drafts: {}, sends: [] } };
      }
    },
  };
}
