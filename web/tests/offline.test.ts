// Written without a network, over a reload in between: once each, in order.

import { expect, it } from "vitest";
import { discardSend, openRoom, retrySend, selectOutboxLevel, selectRoomList, send, setDraft } from "@/model";
import { lines, Stage } from "./support/stage";

const texts = (room: { events: readonly { type: string; content?: string }[] }): string[] =>
  room.events.flatMap((event) => (event.type === "chat" ? [event.content ?? ""] : []));
const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => `message ${n}`);

it("twenty messages written offline arrive once each, in order, after a reload in between", async () => {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  await stage.done(tab.dispatch(openRoom(room.id)));
  server.down = true;
  server.drop();
  tab.browser.network(false);
  await stage.pass(100);
  for (const text of numbers(12)) await stage.done(tab.dispatch(send(room.id, text)), 0);
  expect(lines(tab.state, room.id)).toEqual(numbers(12).map((text) => `${text} [waiting]`));
  expect(tab.state.connection).toMatchObject({ phase: "offline", banner: false });
  await stage.pass(2000);
  expect(tab.state.connection.banner).toBe(true);
  tab.kill();

  const again = await tab.browser.open();
  await stage.pass(100);
  expect(again.state.session).toMatchObject({ phase: "signedIn", me: { username: "alice" } });
  expect(lines(again.state, room.id)).toEqual(numbers(12).map((text) => `${text} [waiting]`));
  for (const text of numbers(20).slice(12)) await stage.done(again.dispatch(send(room.id, text)), 0);
  server.down = false;
  tab.browser.network(true);
  await stage.pass(20_000);
  expect(again.state.connection).toMatchObject({ phase: "live", banner: false, since: 0 });
  expect(texts(room)).toEqual(numbers(20));
  expect(lines(again.state, room.id)).toEqual(numbers(20));
  expect(tab.browser.disk.users.get(alice.shape.user_id)?.sends.size).toBe(0);
});

it("a page that is killed between the store and the ack sends nothing twice", async () => {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  server.fate = (frame) => (frame.type === "chat" ? "dropAfter" : null);
  for (const text of numbers(3)) await stage.done(tab.dispatch(send(room.id, text)), 0);
  await stage.pass(20);
  expect(texts(room)).toEqual(["message 0"]);
  tab.kill();
  server.fate = () => null;
  const again = await tab.browser.open();
  await stage.done(again.dispatch(openRoom(room.id)), 5000);
  expect(texts(room)).toEqual(numbers(3));
  expect(lines(again.state, room.id)).toEqual(numbers(3));
});

it("a draft is kept per room, shown in the list, and gone when it is sent", async () => {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  tab.dispatch(setDraft(room.id, "What I wanted"));
  expect(selectRoomList(tab.state)[0]?.draft).toBe("What I wanted");
  await stage.pass(400);
  tab.kill();
  const again = await tab.browser.open();
  await stage.pass(100);
  expect(again.state.drafts[room.id]).toBe("What I wanted");
  await stage.done(again.dispatch(send(room.id, "What I wanted")));
  expect(again.state.drafts).toEqual({});
  expect(tab.browser.disk.users.get(alice.shape.user_id)?.drafts.size).toBe(0);
});

it("the limit of the outbox is told before it is reached, and held", async () => {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  server.down = true;
  server.drop();
  await stage.pass(10);
  const { limit } = selectOutboxLevel(tab.state);
  for (let n = 0; n < limit; n += 1) {
    expect(selectOutboxLevel(tab.state).near).toBe(n >= limit * 0.8);
    const result = await stage.done(tab.dispatch(send(room.id, `${n}`)), 0);
    expect(result.ok).toBe(true);
  }
  expect(selectOutboxLevel(tab.state)).toMatchObject({ waiting: limit, full: true });
  const result = await stage.done(tab.dispatch(send(room.id, "one too many")), 0);
  expect(result).toMatchObject({ ok: false, problem: { code: "outbox_full" } });
  const first = tab.state.outbox.sends[0]?.id ?? "";
  expect((await stage.done(tab.dispatch(discardSend(first)), 0)).ok).toBe(true);
  expect((await stage.done(tab.dispatch(send(room.id, "now")), 0)).ok).toBe(true);
});

it("what cannot be kept is not shown as waiting", async () => {
  const stage = new Stage();
  const alice = stage.server.addUser("alice");
  const room = stage.server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  tab.browser.disk.full = true;
  const result = await stage.done(tab.dispatch(send(room.id, "hello")), 0);
  expect(result).toMatchObject({ ok: false, problem: { code: "storage" } });
  expect(tab.state.outbox.sends).toEqual([]);
});

it.each([
  ["", "bad_content"],
  [" \n\t ", "bad_content"],
  ["a\u0000b", "bad_content"],
  ["x".repeat(4097), "bad_content"],
])("a text that the server would refuse is not taken (%#)", async (text, code) => {
  const stage = new Stage();
  const alice = stage.server.addUser("alice");
  const room = stage.server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  expect(await stage.done(tab.dispatch(send(room.id, text)), 0)).toMatchObject({ ok: false, problem: { code } });
});

it("4,096 characters outside of the basic plane are sent", async () => {
  const stage = new Stage();
  const alice = stage.server.addUser("alice");
  const room = stage.server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  expect((await stage.done(tab.dispatch(send(room.id, "😀".repeat(4096))))).ok).toBe(true);
  expect(texts(room)[0]?.length).toBe(8192);
});

it("a refused message fails, lets the next one pass, and can be tried again or thrown away", async () => {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  await stage.done(tab.dispatch(openRoom(room.id)));
  server.fate = (frame) => (frame.type === "chat" && frame.content.startsWith("bad") ? { code: "bad_content" } : null);
  for (const text of ["bad one", "good", "bad two"]) await stage.done(tab.dispatch(send(room.id, text)));
  expect(lines(tab.state, room.id)).toEqual(["good", "bad one [failed]", "bad two [failed]"]);
  expect(tab.state.outbox.sends[0]?.problem?.code).toBe("bad_content");
  // It is still there, and failed, after a reload.
  tab.kill();
  const again = await tab.browser.open();
  await stage.done(again.dispatch(openRoom(room.id)));
  expect(lines(again.state, room.id)).toEqual(["good", "bad one [failed]", "bad two [failed]"]);
  server.fate = () => null;
  const [one, two] = again.state.outbox.sends;
  await stage.done(again.dispatch(discardSend(one?.id ?? "")));
  await stage.done(again.dispatch(retrySend(two?.id ?? "")));
  expect(lines(again.state, room.id)).toEqual(["good", "bad two"]);
});

it("an id that was used with another text is replaced when the person tries again", async () => {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  await stage.done(tab.dispatch(openRoom(room.id)));
  server.fate = () => ({ code: "id_reused" });
  await stage.done(tab.dispatch(send(room.id, "hello")));
  expect(lines(tab.state, room.id)).toEqual(["hello [failed]"]);
  server.fate = () => null;
  await stage.done(tab.dispatch(retrySend(tab.state.outbox.sends[0]?.id ?? "")));
  expect(lines(tab.state, room.id)).toEqual(["hello"]);
  const ids = server.heard.flatMap((frame) => (frame.type === "chat" ? [frame.id] : []));
  expect(new Set(ids).size).toBe(2);
});

it("told to wait, all wait, and the person is told until when", async () => {
  const stage = new Stage();
  const { server, clock } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const other = server.addRoom("other", alice);
  const tab = await stage.enter(alice);
  let refused = 0;
  server.fate = (frame) =>
    frame.type === "chat" && refused++ === 0 ? { code: "rate_limited", retry_after_ms: 3000 } : null;
  await stage.done(tab.dispatch(send(room.id, "too fast")), 50);
  const told = clock.now();
  await stage.done(tab.dispatch(send(other.id, "after")), 50);
  const [first, second] = tab.state.outbox.sends;
  expect(first).toMatchObject({ state: "waiting", problem: { code: "rate_limited" } });
  expect(Math.abs((first?.problem?.retryAt ?? 0) - (told + 3000))).toBeLessThan(100);
  expect(second?.state).toBe("waiting");
  await stage.pass(2800);
  expect([...texts(room), ...texts(other)]).toEqual([]);
  await stage.pass(400);
  expect([...texts(room), ...texts(other)]).toEqual(["too fast", "after"]);
});
