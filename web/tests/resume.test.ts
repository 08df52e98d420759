// Coming back: holes, sheddings, long absences, and every reason for which the past cannot be continued.

import { expect, it } from "vitest";
import { loadOlder, loadToUnread, openRoom, readUpTo, type State, selectMembers, selectTimeline, send } from "@/model";
import type { FakeRoom } from "./fakeRoom";
import type { FakeUser } from "./fakeServer";
import { lines, Stage } from "./support/stage";

const texts = (room: FakeRoom): string[] =>
  room.events.flatMap((event) => (event.type === "chat" ? [event.content ?? "(gone)"] : []));

async function scene(events: number, seed = 1) {
  const stage = new Stage(seed);
  const { server } = stage;
  const alice = server.addUser("alice");
  const bob = server.addUser("bob");
  const room = server.addRoom("general", alice, bob);
  for (let n = 0; n < events; n += 1) server.say(room, bob, `${n}`);
  const tab = await stage.enter(alice);
  await stage.done(tab.dispatch(openRoom(room.id)));
  return { stage, server, alice, bob, room, tab };
}

/** The connection breaks, something happens, and it comes back. */
async function away({ stage, server }: Awaited<ReturnType<typeof scene>>, what: () => void, ms = 5000): Promise<void> {
  server.down = true;
  server.drop();
  await stage.pass(100);
  what();
  server.down = false;
  await stage.pass(ms);
}

it("what was missed comes in pages, in order", async () => {
  const s = await scene(10);
  s.server.resumeRows = 7;
  await away(s, () => {
    for (let n = 10; n < 60; n += 1) s.server.say(s.room, s.bob, `${n}`);
  });
  expect(lines(s.tab.state, s.room.id)).toEqual(texts(s.room));
  expect(s.server.heard.filter((frame) => frame.type === "resume").length).toBeGreaterThanOrEqual(8);
  expect(s.tab.state.connection.catchingUp).toBe(0);
});

it("live events during the resume wait behind the hole", async () => {
  const s = await scene(5);
  s.server.resumeRows = 3;
  await away(
    s,
    () => {
      for (let n = 5; n < 30; n += 1) s.server.say(s.room, s.bob, `${n}`);
    },
    0,
  );
  for (let n = 30; n < 60; n += 1) {
    s.server.say(s.room, s.bob, `${n}`);
    await s.stage.pass(40);
  }
  await s.stage.pass(2000);
  expect(lines(s.tab.state, s.room.id)).toEqual(texts(s.room));
});

it("after so much was missed that it is better so, the newest page comes, and older ones by scrolling", async () => {
  const s = await scene(10);
  await away(s, () => {
    for (let n = 10; n < 1500; n += 1) s.server.say(s.room, s.bob, `${n}`);
  });
  expect(lines(s.tab.state, s.room.id)).toEqual(texts(s.room).slice(-100));
  expect(selectTimeline(s.tab.state, s.room.id)).toMatchObject({ complete: false });
  expect(s.server.heard.filter((frame) => frame.type === "resume").length).toBe(0);
  while (!selectTimeline(s.tab.state, s.room.id).complete) {
    await s.stage.done(s.tab.dispatch(loadOlder(s.room.id)), 50);
  }
  expect(lines(s.tab.state, s.room.id)).toEqual(texts(s.room));
  expect(selectTimeline(s.tab.state, s.room.id).rows[0]).toMatchObject({ kind: "start", whole: true });
});

it("shed events come by resume", async () => {
  const s = await scene(5);
  s.server.shed(s.room);
  for (let n = 5; n < 15; n += 1) s.server.say(s.room, s.bob, `${n}`);
  await s.stage.pass(100);
  expect(lines(s.tab.state, s.room.id).length).toBe(5);
  s.server.unshed(s.room);
  await s.stage.pass(100);
  expect(lines(s.tab.state, s.room.id)).toEqual(texts(s.room));
});

it("a hole that nobody told of is found by the next event, also behind one's own ack", async () => {
  const s = await scene(5);
  s.server.shed(s.room);
  for (let n = 5; n < 10; n += 1) s.server.say(s.room, s.bob, `${n}`);
  await s.stage.done(s.tab.dispatch(send(s.room.id, "mine")), 12);
  // Until the hole is filled the own message stays where it was.
  expect(lines(s.tab.state, s.room.id).at(-1)).toMatch(/^mine/);
  await s.stage.pass(200);
  expect(lines(s.tab.state, s.room.id)).toEqual(texts(s.room));
});

const reloads: [string, (s: Awaited<ReturnType<typeof scene>>) => void, boolean][] = [
  [
    "retention",
    ({ server, room, bob }) => {
      for (let n = 0; n < 30; n += 1) server.say(room, bob, `later ${n}`);
      server.trim(room, room.events.length - 9);
    },
    true,
  ],
  [
    "epoch",
    ({ server, room, bob }) => {
      server.restore(room, 6);
      server.say(room, bob, "after the restore");
    },
    true,
  ],
  [
    "future",
    ({ room }) => {
      // The server forgot what it had acked: a restore that nobody wrote down.
      room.events = room.events.slice(0, 6);
    },
    false,
  ],
];
it.each(reloads)("reload because of %s: the newest page, and on from there", async (_reason, what, lost) => {
  const s = await scene(12);
  await away(s, () => what(s));
  const readable = s.room.events.filter(({ seq }) => seq >= s.room.firstSeq);
  expect(lines(s.tab.state, s.room.id)).toEqual(readable.map((event) => (event.type === "chat" ? event.content : "")));
  expect(selectTimeline(s.tab.state, s.room.id).rows[0]?.kind).toBe(lost ? "lost" : "start");
  s.server.say(s.room, s.bob, "and on");
  await s.stage.done(s.tab.dispatch(send(s.room.id, "mine")));
  expect(lines(s.tab.state, s.room.id).slice(-2)).toEqual(["and on", "mine"]);
});

it("put out while away: the room goes, what waits for it fails with a reason", async () => {
  const s = await scene(3);
  s.server.down = true;
  s.server.drop();
  await s.stage.pass(10);
  await s.stage.done(s.tab.dispatch(send(s.room.id, "are you there?")), 0);
  s.server.remove(s.room, s.alice);
  s.server.down = false;
  await s.stage.pass(5000);
  expect(s.tab.state.rooms.byId[s.room.id]).toBeUndefined();
  expect(s.tab.state.timelines[s.room.id]).toBeUndefined();
  expect(s.tab.state.outbox.sends).toMatchObject([{ state: "failed", problem: { code: "not_member" } }]);
});

it("put out while there: the room goes at once, and nothing of it is kept", async () => {
  const s = await scene(3);
  await s.stage.pass(2000);
  const kept = s.tab.browser.disk.users.get(s.alice.shape.user_id);
  expect(kept?.timelines.size).toBe(1);
  s.server.remove(s.room, s.alice);
  await s.stage.pass(2000);
  expect(s.tab.state.rooms.byId).toEqual({});
  expect(kept?.timelines.size).toBe(0);
  expect(kept?.rooms.size).toBe(0);
});

it("left and came back while away: the room is still there", async () => {
  const s = await scene(3);
  await away(s, () => {
    s.server.remove(s.room, s.alice);
    s.server.join(s.room, s.alice);
    s.server.say(s.room, s.bob, "welcome back");
  });
  expect(s.tab.state.rooms.byId[s.room.id]?.joined).toBe(true);
  expect(lines(s.tab.state, s.room.id).at(-1)).toBe("welcome back");
});

it("what was taken back while away is shown as taken back, and not as it was", async () => {
  const s = await scene(3);
  await away(s, () => s.server.takeBack(s.room, s.bob, 2));
  expect(lines(s.tab.state, s.room.id)).toEqual(["0", "(gone)", "2"]);
  expect(JSON.stringify(s.tab.state.timelines)).not.toContain('"text":"1"');
});

it("events of types that are not known yet move the position and show nothing", async () => {
  const s = await scene(3);
  const { id } = s.room;
  s.server.line(
    JSON.stringify({ type: "reaction", room_id: id, seq: 4, user_id: s.bob.shape.user_id, metadata: { emoji: "👍" } }),
  );
  s.server.line(JSON.stringify({ type: "weather", metadata: { sun: true } }));
  s.server.line("this is no JSON");
  s.server.line("[]");
  s.server.line(JSON.stringify({ type: "chat", room_id: id }));
  await s.stage.pass(50);
  expect(s.tab.state.timelines[id]?.to).toBe(4);
  expect(lines(s.tab.state, id)).toEqual(["0", "1", "2"]);
  expect(s.tab.state.connection.phase).toBe("live");
});

const unreadKeys = (state: State, room: FakeRoom) =>
  selectTimeline(state, room.id).rows.flatMap((row) => (row.kind === "unread" ? [row.count] : []));

it("the unread line stands where reading stopped, stays until the room is left, and is loaded up to", async () => {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const bob = server.addUser("bob");
  const room = server.addRoom("general", alice, bob);
  for (let n = 0; n < 300; n += 1) server.say(room, bob, `${n}`);
  const member = room.members.get(alice.shape.user_id);
  if (member) member.read = 50;
  const tab = await stage.enter(alice);
  await stage.done(tab.dispatch(openRoom(room.id)));
  expect(selectTimeline(tab.state, room.id)).toMatchObject({ unread: 250, unreadBeyond: true, unreadKey: null });
  const found = await stage.done(tab.dispatch(loadToUnread(room.id)), 2000);
  expect(found).toEqual({ ok: true, value: "unread" });
  const { rows } = selectTimeline(tab.state, room.id);
  const at = rows.findIndex((row) => row.kind === "unread");
  expect(rows[at + 1]).toMatchObject({ kind: "message", message: { number: 51 } });
  tab.dispatch(readUpTo(room.id, 300));
  await stage.pass(1000);
  expect(selectTimeline(tab.state, room.id).unread).toBe(0);
  expect(member?.read).toBe(300);
  expect(unreadKeys(tab.state, room)).toEqual([250]);
  // Read is told once, not with every call.
  for (let n = 0; n < 50; n += 1) tab.dispatch(readUpTo(room.id, 300 - n));
  await stage.pass(1000);
  expect(server.heard.filter((frame) => frame.type === "read").length).toBe(1);
});

it("nothing is read while nobody looks", async () => {
  const s = await scene(3);
  s.tab.look(false);
  s.server.say(s.room, s.bob, "new");
  await s.stage.pass(50);
  s.tab.dispatch(readUpTo(s.room.id, 4));
  await s.stage.pass(1000);
  expect(s.room.members.get(s.alice.shape.user_id)?.read).toBe(0);
  s.tab.look(true);
  s.tab.dispatch(readUpTo(s.room.id, 4));
  await s.stage.pass(1000);
  expect(s.room.members.get(s.alice.shape.user_id)?.read).toBe(4);
});

it("a marker that could not be told is told with the next connection, and no sooner forgotten", async () => {
  const s = await scene(3);
  s.server.down = true;
  s.server.drop();
  await s.stage.pass(10);
  s.tab.dispatch(readUpTo(s.room.id, 3));
  await s.stage.pass(1000);
  s.server.down = false;
  await s.stage.pass(5000);
  expect(s.room.members.get(s.alice.shape.user_id)?.read).toBe(3);
  expect(s.tab.state.rooms.byId[s.room.id]?.readNumber).toBe(3);
});

it("250 rooms come in pages; those that are gone from the list are gone here", async () => {
  const stage = new Stage();
  const { server } = stage;
  const alice = server.addUser("alice");
  const bob = server.addUser("bob");
  const rooms = Array.from({ length: 250 }, (_, n) => server.addRoom(`room ${n}`, alice, bob));
  const tab = await stage.enter(alice);
  await stage.pass(200);
  expect(Object.keys(tab.state.rooms.byId).length).toBe(250);
  server.down = true;
  server.drop();
  for (const room of rooms.slice(0, 30)) room.members.delete(alice.shape.user_id);
  server.down = false;
  await stage.pass(5000);
  expect(Object.keys(tab.state.rooms.byId).length).toBe(220);
});

it("members come and go with the events, and have names", async () => {
  const s = await scene(1);
  await s.stage.pass(100);
  const carol: FakeUser = s.server.addUser("carol");
  s.server.join(s.room, carol);
  await s.stage.pass(100);
  const names = (): string[] =>
    selectMembers(s.tab.state, s.room.id)
      .members.map(({ displayName }) => displayName)
      .sort();
  expect(names()).toEqual(["alice", "bob", "carol"]);
  expect(s.tab.state.rooms.byId[s.room.id]?.members).toBe(3);
  s.server.remove(s.room, carol);
  await s.stage.pass(100);
  expect(names()).toEqual(["alice", "bob"]);
});

it("a timeline that nobody looks at does not grow for ever; scrolling back brings it again", async () => {
  const s = await scene(0);
  const other = s.server.addRoom("other", s.alice, s.bob);
  for (let n = 0; n < 2500; n += 1) s.server.say(s.room, s.bob, `${n}`);
  await s.stage.pass(100);
  expect(lines(s.tab.state, s.room.id).length).toBe(2500);
  await s.stage.done(s.tab.dispatch(openRoom(other.id)));
  expect(lines(s.tab.state, s.room.id)).toEqual(texts(s.room).slice(-500));
  for (let n = 2500; n < 4500; n += 1) s.server.say(s.room, s.bob, `${n}`);
  await s.stage.pass(100);
  expect(lines(s.tab.state, s.room.id).length).toBeLessThanOrEqual(2000);
  await s.stage.done(s.tab.dispatch(openRoom(s.room.id)));
  while (!selectTimeline(s.tab.state, s.room.id).complete) {
    await s.stage.done(s.tab.dispatch(loadOlder(s.room.id)), 50);
  }
  expect(lines(s.tab.state, s.room.id)).toEqual(texts(s.room));
});

it("the first words of a room that somebody just made are news, with its name", async () => {
  const s = await scene(0);
  const news: string[] = [];
  s.tab.model.onNews(({ title, person, hidden }) => news.push(`${title} ${person.displayName} ${hidden}`));
  const fresh = s.server.addRoom("just made", s.bob, s.alice);
  s.server.say(fresh, s.bob, "hello");
  await s.stage.pass(200);
  expect(news).toEqual(["just made bob true"]);
  expect(s.tab.state.rooms.byId[fresh.id]).toMatchObject({ name: "just made", lastNumber: 1, readNumber: 0 });
  expect(lines(s.tab.state, fresh.id)).toEqual(["hello"]);
});

it("news is what nobody has seen: not one's own, not what was missed, not what is read elsewhere", async () => {
  const s = await scene(2);
  const news: string[] = [];
  s.tab.model.onNews(({ message, hidden }) => {
    if (message.content?.kind === "text") news.push(`${message.content.text} ${hidden}`);
  });
  s.server.say(s.room, s.bob, "live");
  await s.stage.done(s.tab.dispatch(send(s.room.id, "mine")));
  s.tab.look(false);
  s.server.say(s.room, s.bob, "while away");
  await s.stage.pass(50);
  expect(news).toEqual(["live false", "while away true"]);
  await away(s, () => s.server.say(s.room, s.bob, "missed"));
  expect(news.length).toBe(2);
});
