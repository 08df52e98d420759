// Connections that break at the worst moments, a hundred times: nothing is lost, nothing stands twice, the order is that of the room.

import { expect, it } from "vitest";
import { openRoom, send } from "@/model";
import { lines, Stage } from "./support/stage";

/** What the room says, as its newest page would show it. */
const truth = (room: { events: readonly { type: string; content?: string }[] }): string[] =>
  room.events.flatMap((event) => (event.type === "chat" ? [event.content ?? "(gone)"] : []));

it.each([1, 2, 3, 4, 5, 6, 7, 8])("a hundred drops, no gap and no double (seed %i)", async (seed) => {
  const stage = new Stage(seed);
  const { server, random } = stage;
  const alice = server.addUser("alice");
  const bob = server.addUser("bob");
  const room = server.addRoom("general", alice, bob);
  const quiet = server.addRoom("quiet", alice, bob);
  const tab = await stage.enter(alice);
  await stage.done(tab.dispatch(openRoom(room.id)));

  let drops = 0;
  const count = <T>(fate: T): T => {
    drops += 1;
    return fate;
  };
  server.fate = () => {
    const roll = random();
    return drops >= 120 ? null : roll < 0.15 ? count("drop") : roll < 0.3 ? count("dropAfter") : null;
  };
  const mine: string[] = [];
  for (let n = 0; n < 3000 && (drops < 120 || n < 100); n += 1) {
    if (random() < 0.25) {
      const said = tab.dispatch(send(random() < 0.8 ? room.id : quiet.id, `alice ${n}`));
      expect((await stage.done(said, 0)).ok).toBe(true);
      mine.push(`alice ${n}`);
    }
    if (random() < 0.4) server.say(random() < 0.7 ? room : quiet, bob, `bob ${n}`);
    if (random() < 0.05) {
      const his = room.events.filter((event) => event.type === "chat" && event.user_id === bob.shape.user_id);
      const target = his[Math.floor(random() * his.length)];
      if (target) server.takeBack(room, bob, target.seq);
    }
    if (drops < 120 && random() < 0.1) {
      drops += 1;
      server.drop(random() < 0.5 ? 1006 : 4501);
    }
    await stage.pass(random() * 1500);
  }
  expect(drops).toBeGreaterThanOrEqual(100);
  server.fate = () => null;
  await stage.pass(60_000);

  expect(tab.state.connection.phase).toBe("live");
  expect(tab.state.outbox.sends).toEqual([]);
  expect(lines(tab.state, room.id)).toEqual(truth(room));
  expect(lines(tab.state, quiet.id)).toEqual(truth(quiet));
  // Each of Alice's stands once on the server, and in her order within each room.
  const stored = [...truth(room), ...truth(quiet)].filter((text) => text.startsWith("alice"));
  expect(stored.sort()).toEqual(mine.sort());
  for (const one of [room, quiet]) {
    const numbers = truth(one).flatMap((text) => (text.startsWith("alice ") ? [Number(text.slice(6))] : []));
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  }
  // Rows have keys of their own.
  const keys = tab.state.timelines[room.id]?.events.map((event) =>
    event.kind === "message" ? event.message.key : event.notice.key,
  );
  expect(new Set(keys).size).toBe(keys?.length);
});

it("at no moment does a message stand twice or vanish, whatever is lost", async () => {
  const stage = new Stage(7);
  const { server } = stage;
  const alice = server.addUser("alice");
  const room = server.addRoom("general", alice);
  const tab = await stage.enter(alice);
  await stage.done(tab.dispatch(openRoom(room.id)));
  let lost = 0;
  // Stored and not acked; then the server is too busy to say that it was, while the event itself comes by resume.
  const fates = ["dropAfter", { code: "busy", retry_after_ms: 500 }, null] as const;
  server.fate = (frame) => (frame.type === "chat" ? (fates[lost++ % 3] ?? null) : null);
  const seen: string[][] = [];
  tab.model.store.subscribe(() => seen.push(lines(tab.state, room.id).map((line) => line.replace(/ \[.*/, ""))));
  for (let n = 0; n < 20; n += 1) {
    const before = seen.length;
    await stage.done(tab.dispatch(send(room.id, `${n}`)), 25_000);
    const wanted = Array.from({ length: n + 1 }, (_, i) => `${i}`);
    expect(seen.length).toBeGreaterThan(before);
    // From the first moment to the last: all that was said, once each, in order.
    for (const moment of seen.slice(before)) expect([wanted, wanted.slice(0, -1)]).toContainEqual(moment);
    expect(lines(tab.state, room.id)).toEqual(wanted);
  }
});
