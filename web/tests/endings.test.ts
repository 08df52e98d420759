// Why a connection ends, told apart: tokens, revoked sessions, suspension, a server that drains, a way that died without a word.

import { expect, it } from "vitest";
import { openRoom, reconnect, send, signOut } from "@/model";
import type { FakeUser } from "./fakeServer";
import { lines, Stage } from "./support/stage";

async function scene() {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  await stage.done(tab.dispatch(openRoom(room.id)));
  await stage.done(tab.dispatch(send(room.id, "hello")));
  await stage.pass(2000);
  return { stage, server, alice, room, tab, disk: tab.browser.disk };
}
const kept = (
  disk: {
    users: Map<string, { timelines: Map<string, unknown>; rooms: Map<string, unknown>; sends: Map<string, unknown> }>;
  },
  user: FakeUser,
) => {
  const data = disk.users.get(user.shape.user_id);
  return { timelines: data?.timelines.size, rooms: data?.rooms.size, sends: data?.sends.size };
};

it("a token that runs out is renewed on the same connection", async () => {
  const s = await scene();
  const before = s.server.refreshes;
  s.server.notice({ code: "token_expiring" });
  await s.stage.pass(100);
  expect(s.server.refreshes).toBe(before + 1);
  const auths = s.server.heard.filter((frame) => frame.type === "auth");
  expect(auths.length).toBe(2);
  expect(auths[1]?.content).not.toBe(auths[0]?.content);
  expect(s.server.connections()).toBe(1);
  expect(s.tab.state.connection.phase).toBe("live");
});

it("closed with 4401: a new token, and back at once", async () => {
  const s = await scene();
  s.server.drop(4401);
  await s.stage.pass(100);
  expect(s.tab.state.connection.phase).toBe("live");
  expect(s.tab.state.session.phase).toBe("signedIn");
});

it("a token that is refused again and again is not asked for without pause", async () => {
  const s = await scene();
  s.server.fate = (frame) => (frame.type === "auth" ? "drop" : null);
  const before = s.server.refreshes;
  s.server.drop(4401);
  await s.stage.pass(60_000);
  expect(s.server.refreshes - before).toBeLessThan(5);
  s.server.fate = () => null;
  await s.stage.pass(25_000);
  expect(s.tab.state.connection.phase).toBe("live");
});

it("a session that was ended elsewhere: signed out, told so, nothing readable kept, unsent words kept", async () => {
  const s = await scene();
  s.server.fate = (frame) => (frame.type === "chat" ? { code: "busy", retry_after_ms: 60_000 } : null);
  await s.stage.done(s.tab.dispatch(send(s.room.id, "not sent yet")));
  s.server.endSession(s.alice);
  await s.stage.pass(100);
  expect(s.tab.state.session).toMatchObject({ phase: "signedOut", ended: "revoked", me: null });
  expect(s.tab.state.rooms.byId).toEqual({});
  expect(kept(s.disk, s.alice)).toEqual({ timelines: 0, rooms: 0, sends: 1 });
  expect(s.disk.stored).toBeNull();
  await s.stage.pass(60_000);
  expect(s.server.connections()).toBe(0);
});

it("signing out deletes everything, also without a server", async () => {
  const s = await scene();
  s.server.down = true;
  s.server.drop();
  await s.stage.pass(10);
  await s.stage.done(s.tab.dispatch(send(s.room.id, "never sent")), 0);
  await s.stage.done(s.tab.dispatch(signOut()));
  expect(s.tab.state.session).toMatchObject({ phase: "signedOut", ended: null });
  expect(kept(s.disk, s.alice)).toEqual({ timelines: 0, rooms: 0, sends: 0 });
  const again = await s.tab.browser.open();
  expect(again.state.session.phase).toBe("signedOut");
});

it("suspended: stops, and says so", async () => {
  const s = await scene();
  s.server.drop(4403);
  await s.stage.pass(100);
  expect(s.tab.state.session).toMatchObject({ phase: "signedOut", ended: "suspended" });
});

it.each([
  [4400, "protocol"],
  [4429, "too_much"],
] as const)("closed with %i: stays away until the person wants", async (code, reason) => {
  const s = await scene();
  const before = s.server.heard.length;
  s.server.drop(code);
  await s.stage.pass(120_000);
  expect(s.server.heard.length).toBe(before);
  expect(s.tab.state.connection).toMatchObject({ phase: "stopped", reason, banner: true });
  s.tab.dispatch(reconnect());
  await s.stage.pass(100);
  expect(s.tab.state.connection.phase).toBe("live");
});

it.each([
  [4501, "draining"],
  [4503, "slow"],
  [4504, "silent"],
  [4509, "too_many"],
  [1006, "lost"],
  [1001, "lost"],
  [1000, "lost"],
  [4999, "lost"],
] as const)("closed with %i: comes back by itself", async (code, reason) => {
  const s = await scene();
  s.server.down = true;
  s.server.drop(code);
  await s.stage.pass(40);
  expect(s.tab.state.connection).toMatchObject({ phase: "waiting", reason });
  expect(s.tab.state.connection.banner).toBe(false);
  await s.stage.pass(3000);
  expect(s.tab.state.connection.banner).toBe(true);
  s.server.down = false;
  await s.stage.pass(30_000);
  expect(s.tab.state.connection).toMatchObject({ phase: "live", reason: null, banner: false });
});

it("a server that drains is left, and come back to when it said", async () => {
  const s = await scene();
  s.server.notice({ code: "draining", reconnect_after_ms: 4000 });
  await s.stage.pass(100);
  expect(s.server.connections()).toBe(0);
  expect(s.tab.state.connection).toMatchObject({ phase: "waiting", reason: "draining" });
  await s.stage.pass(3000);
  expect(s.server.connections()).toBe(0);
  await s.stage.pass(2500);
  expect(s.tab.state.connection.phase).toBe("live");
});

it("waits grow to 20 s and no further", async () => {
  const s = await scene();
  s.server.down = true;
  s.server.drop();
  const waits: number[] = [];
  s.tab.model.store.subscribe(() => {
    const { retryAt } = s.tab.state.connection;
    const wait = (retryAt ?? 0) - s.stage.clock.now();
    if (retryAt !== null && wait > waits.length) waits.push(wait);
  });
  await s.stage.pass(300_000);
  expect(Math.max(...waits)).toBeLessThanOrEqual(20_000);
  expect(Math.max(...waits)).toBeGreaterThan(9000);
  expect(waits[0]).toBeLessThanOrEqual(500);
});

it("a way that died without a word is found out, and what was sent into it is sent again", async () => {
  const s = await scene();
  const before = s.server.heard.length;
  await s.stage.pass(26_000);
  // After a quiet while it asks; that is answered, so it stays.
  expect(s.server.heard.slice(before).some((frame) => frame.type === "resume")).toBe(true);
  expect(s.server.connections()).toBe(1);
  // Nothing that is sent arrives any more, and nothing says so.
  s.server.mute = true;
  await s.stage.done(s.tab.dispatch(send(s.room.id, "into nowhere")), 0);
  await s.stage.pass(45_000);
  s.server.mute = false;
  await s.stage.pass(20_000);
  expect(lines(s.tab.state, s.room.id)).toEqual(["hello", "into nowhere"]);
  expect(s.room.events.length).toBe(2);
});

it("after sleep it asks at once whether the server is still there", async () => {
  const s = await scene();
  s.server.mute = true;
  s.stage.clock.sleep(3_600_000);
  const before = s.stage.clock.now();
  await s.stage.pass(1);
  s.tab.look(true);
  await s.stage.pass(4200);
  expect(s.tab.state.connection.phase).not.toBe("live");
  s.server.mute = false;
  // The socket that was opened into nowhere is given up after ten seconds.
  await s.stage.pass(12_000);
  expect(s.tab.state.connection.phase).toBe("live");
  expect(s.stage.clock.now() - before).toBeLessThan(17_000);
});
