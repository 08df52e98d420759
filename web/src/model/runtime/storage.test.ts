// What is kept in IndexedDB comes back as it was, and is gone when it has to be.

import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
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

async function filled() {
  const storage = await browserStorages().open("u1");
  await storage.write({ rooms: [room], timelines: [timeline], people: [person], gone: [] });
  await storage.putDraft("r1", "half a sentence");
  await storage.putSend(send("b"));
  await storage.putSend(send("a"));
  return storage;
}

it("comes back after the page was closed", async () => {
  (await filled()).close();
  const storage = await browserStorages().open("u1");
  expect(storage.kept).toBe(true);
  expect(await storage.load()).toEqual({
    rooms: [room],
    timelines: [timeline],
    people: [person],
    drafts: { r1: "half a sentence" },
    sends: [send("a"), send("b")],
  });
  expect(await (await browserStorages().open("u2")).load()).toMatchObject({ rooms: [], sends: [] });
});

it("forgets a room that is gone, a draft that was sent, a message that is stored", async () => {
  const storage = await filled();
  await storage.write({ rooms: [], timelines: [], people: [], gone: ["r1"] });
  await storage.putDraft("r1", "");
  await storage.deleteSend("a");
  expect(await storage.load()).toMatchObject({ rooms: [], timelines: [], drafts: {}, sends: [send("b")] });
});

it("sign-out deletes all; an ended session keeps what one wrote", async () => {
  const kept = await filled();
  await kept.wipe(true);
  expect(await kept.load()).toEqual({
    rooms: [],
    timelines: [],
    people: [],
    drafts: { r1: "half a sentence" },
    sends: [send("a"), send("b")],
  });
  await kept.wipe(false);
  const again = await browserStorages().open("u1");
  expect(await again.load()).toEqual({ rooms: [], timelines: [], people: [], drafts: {}, sends: [] });
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
  const storage = await storages.open("u1");
  expect(storage.kept).toBe(false);
  await storage.putSend(send("a"));
  expect(await storage.sends()).toEqual([send("a")]);
});
