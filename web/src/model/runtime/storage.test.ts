// What is kept in IndexedDB comes back as it was, and is gone when it has to be.

import "fake-indexeddb/auto";
import { IDBFactory, IDBOpenDBRequest } from "fake-indexeddb";
import { beforeEach, expect, it, vi } from "vitest";
import type { Room } from "../types";
import { browserStorages, type KeptSend, type KeptTimeline } from "./storage";

beforeEach(() => {
  vi.stubGlobal("indexedDB", new IDBFactory());
});

const person = { userId: "u1", username: "alice", displayName: "Alice", admin: false };
const room = { roomId: "r1", name: "general", joined: true } as Room;
const timeline: KeptTimeline = { roomId: "r1", epoch: 1, from: 1, to: 9, firstSeq: 1, lost: false, events: [] };
const send = (id: string): KeptSend => ({
  id,
  roomId: "r1",
  at: 1,
  text: id,
  sealed: { content: id },
  left: false,
  failed: null,
});

/** What another page would find. */
const found = async (userId = "u1") => (await browserStorages().open(userId)).found;

const NOTHING = { rooms: [], timelines: [], people: [], drafts: {}, sends: [] };

async function filled() {
  const { storage } = await browserStorages().open("u1");
  await storage.write({ rooms: [room], timelines: [timeline], people: [person], gone: [] });
  await storage.putDraft("r1", "half a sentence");
  await storage.putSend(send("b"));
  await storage.putSend(send("a"));
  return storage;
}

it("comes back after the page was closed", async () => {
  (await filled()).close();
  const opened = await browserStorages().open("u1");
  expect(opened.storage.kept).toBe(true);
  expect(opened.found).toEqual({
    rooms: [room],
    timelines: [timeline],
    people: [person],
    drafts: { r1: "half a sentence" },
    sends: [send("a"), send("b")],
  });
  expect(await found("u2")).toEqual(NOTHING);
});

it("forgets a room that is gone, a draft that was sent, a message that is stored", async () => {
  const storage = await filled();
  await storage.write({ rooms: [], timelines: [], people: [], gone: ["r1"] });
  await storage.putDraft("r1", "");
  await storage.deleteSend("a");
  expect(await found()).toMatchObject({ rooms: [], timelines: [], drafts: {}, sends: [send("b")] });
});

it("sign-out deletes all; an ended session keeps what one wrote", async () => {
  const kept = await filled();
  await kept.wipe(true);
  expect(await found()).toEqual({ ...NOTHING, drafts: { r1: "half a sentence" }, sends: [send("a"), send("b")] });
  await kept.wipe(false);
  expect(await found()).toEqual(NOTHING);
});

it("knows who is signed in", async () => {
  const storages = browserStorages();
  expect(await storages.account()).toBeNull();
  await storages.setAccount({ person, deviceId: "d1" });
  expect(await browserStorages().account()).toEqual({ person, deviceId: "d1" });
  await storages.setAccount(null);
  expect(await browserStorages().account()).toBeNull();
});

it("where the browser keeps nothing, memory does, and it is told", async () => {
  vi.stubGlobal("indexedDB", {
    open: () => {
      throw new DOMException("no", "SecurityError");
    },
  });
  const storages = browserStorages();
  expect(await storages.account()).toBe("unknown");
  await storages.setAccount({ person, deviceId: "d1" });
  expect(await storages.account()).toEqual({ person, deviceId: "d1" });
  const { storage, found } = await storages.open("u1");
  expect(storage.kept).toBe(false);
  expect(found).toEqual(NOTHING);
  await storage.putSend(send("a"));
  expect(await storage.sends()).toEqual([send("a")]);
});

it("a database that says nothing is none", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.stubGlobal("indexedDB", { open: () => new IDBOpenDBRequest() });
  const storages = browserStorages();
  const asked = [storages.account(), storages.setAccount({ person, deviceId: "d1" }), storages.open("u1")] as const;
  await vi.advanceTimersByTimeAsync(10_000);
  vi.useRealTimers();
  const [account, , { storage, found }] = await Promise.all(asked);
  expect(account).toEqual({ person, deviceId: "d1" });
  expect([storage.kept, found]).toEqual([false, NOTHING]);
});

it("a database that cannot be read is none", async () => {
  (await filled()).close();
  const broken = vi.spyOn(IDBObjectStore.prototype, "getAll").mockImplementation(() => {
    throw new DOMException("the disk is broken", "UnknownError");
  });
  const { storage, found } = await browserStorages().open("u1");
  expect([storage.kept, found]).toEqual([false, NOTHING]);
  broken.mockRestore();
  expect((await browserStorages().open("u1")).storage.kept).toBe(true);
});
