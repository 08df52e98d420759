// Several tabs of one browser, and several devices: one sends, all show; one refreshes, all go on; what is read here is read there.

import { expect, it } from "vitest";
import { openRoom, readUpTo, send, setSettings, signIn, signOut } from "@/model";
import { lines, Stage } from "./support/stage";

const texts = (room: { events: readonly { type: string; content?: string }[] }): string[] =>
  room.events.flatMap((event) => (event.type === "chat" ? [event.content ?? ""] : []));

async function scene(seed = 1) {
  const stage = new Stage(seed);
  const { server } = stage;
  const alice = server.addUser("alice");
  const bob = server.addUser("bob");
  const room = server.addRoom("general", alice, bob);
  const first = await stage.enter(alice);
  const second = await first.browser.open();
  await stage.pass(200);
  for (const tab of [first, second]) await stage.done(tab.dispatch(openRoom(room.id)));
  return { stage, server, alice, bob, room, first, second };
}
const chats = (server: { heard: readonly { type: string }[] }): number =>
  server.heard.filter(({ type }) => type === "chat").length;

it("what is written in either tab is sent once, and shown in both", async () => {
  const { stage, server, room, first, second } = await scene();
  await stage.done(first.dispatch(send(room.id, "from the first")));
  await stage.done(second.dispatch(send(room.id, "from the second")));
  await stage.pass(500);
  expect(texts(room)).toEqual(["from the first", "from the second"]);
  expect(chats(server)).toBe(2);
  for (const tab of [first, second]) expect(lines(tab.state, room.id)).toEqual(["from the first", "from the second"]);
  expect(first.browser.disk.users.get(first.state.session.me?.userId ?? "")?.sends.size).toBe(0);
});

it("written offline in two tabs: both show all of it, each is sent once, whichever tab is left", async () => {
  const { stage, server, room, first, second } = await scene();
  server.down = true;
  server.drop();
  await stage.pass(50);
  for (let n = 0; n < 6; n += 1) await stage.done((n % 2 ? first : second).dispatch(send(room.id, `${n}`)), 5);
  await stage.pass(100);
  const waiting = Array.from({ length: 6 }, (_, n) => `${n} [waiting]`);
  for (const tab of [first, second]) expect(lines(tab.state, room.id)).toEqual(waiting);
  // The tab that leads is killed; the other one takes over.
  second.kill();
  first.look(true);
  server.down = false;
  await stage.pass(30_000);
  expect(texts(room)).toEqual(["0", "1", "2", "3", "4", "5"]);
  expect(lines(first.state, room.id)).toEqual(texts(room));
});

const seeds = Array.from({ length: 20 }, (_, n) => n + 1);
it.each(seeds)(
  "the lead passes on in the middle of sending: nothing twice, nothing out of order (seed %i)",
  async (seed) => {
    const { stage, server, room, first, second } = await scene(seed);
    server.fate = (frame) => (frame.type === "chat" && stage.random() < 0.3 ? "dropAfter" : null);
    for (let n = 0; n < 30; n += 1) {
      const [here, there] = n % 3 === 0 ? [first, second] : [second, first];
      there.look(false);
      here.look(true);
      await stage.done(here.dispatch(send(room.id, `${n}`)), stage.random() * 30);
    }
    server.fate = () => null;
    await stage.pass(60_000);
    const wanted = Array.from({ length: 30 }, (_, n) => `${n}`);
    expect(texts(room)).toEqual(wanted);
    for (const tab of [first, second]) expect(lines(tab.state, room.id)).toEqual(wanted);
    for (const tab of [first, second]) expect(tab.state.outbox.sends).toEqual([]);
  },
);

it("tabs that need a new token at the same moment take turns, and the session lives", async () => {
  const { stage, server, alice, first, second } = await scene();
  const third = await first.browser.open();
  await stage.pass(200);
  for (let round = 0; round < 10; round += 1) {
    server.drop(4401);
    await stage.pass(2000);
    server.notice({ code: "token_expiring" });
    await stage.pass(2000);
  }
  expect([...alice.sessions.values()].map(({ ended }) => ended)).toEqual([false]);
  for (const tab of [first, second, third]) expect(tab.state.connection.phase).toBe("live");
  expect(server.connections(alice)).toBe(3);
});

it("signed out in one tab is signed out in all, and nothing is kept", async () => {
  const { stage, first, second, room } = await scene();
  await stage.done(first.dispatch(send(room.id, "hello")));
  await stage.pass(2000);
  await stage.done(first.dispatch(signOut()));
  await stage.pass(100);
  for (const tab of [first, second]) {
    expect(tab.state.session.phase).toBe("signedOut");
    expect(tab.state.rooms.byId).toEqual({});
    expect(tab.state.timelines).toEqual({});
  }
  const data = [...first.browser.disk.users.values()][0];
  expect([data?.rooms.size, data?.timelines.size, data?.sends.size, data?.people.size]).toEqual([0, 0, 0, 0]);
  await stage.pass(5000);
  expect(data?.rooms.size).toBe(0);
});

it("somebody else signs in in another tab: this one follows, and shows nothing of the first", async () => {
  const { stage, server, bob, first, second, room } = await scene();
  const own = server.addRoom("bob's", bob);
  await stage.done(first.dispatch(signOut()));
  await stage.done(second.dispatch(signIn("bob", "password")), 500);
  await stage.pass(500);
  for (const tab of [first, second]) {
    expect(tab.state.session).toMatchObject({ phase: "signedIn", me: { username: "bob" } });
    expect(Object.keys(tab.state.rooms.byId).sort()).toEqual([room.id, own.id].sort());
  }
});

it("another device reads, and this one follows", async () => {
  const { stage, server, alice, bob, room, first } = await scene();
  for (let n = 0; n < 5; n += 1) server.say(room, bob, `${n}`);
  await stage.pass(50);
  const phone = await stage.enter(alice);
  await stage.done(phone.dispatch(openRoom(room.id)));
  phone.dispatch(readUpTo(room.id, 5));
  await stage.pass(1000);
  expect(first.state.rooms.byId[room.id]?.readNumber).toBe(5);
});

it("what one says on another device comes here with its own key, once", async () => {
  const { stage, alice, room, first } = await scene();
  const phone = await stage.enter(alice);
  await stage.done(phone.dispatch(send(room.id, "from the phone")));
  expect(lines(first.state, room.id)).toEqual(["from the phone"]);
  expect(first.state.rooms.byId[room.id]).toMatchObject({ readNumber: 1, lastNumber: 1 });
});

it("settings are one browser's, not one tab's", async () => {
  const { stage, first, second } = await scene();
  first.dispatch(setSettings({ theme: "dark" }));
  await stage.pass(50);
  expect(second.state.settings.theme).toBe("dark");
  second.kill();
  const third = await first.browser.open();
  expect(third.state.settings).toMatchObject({ theme: "dark", sendTyping: true });
});
