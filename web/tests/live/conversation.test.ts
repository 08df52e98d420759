// The model against the real server: what no fake can promise. Runs where CAUSERIE_BIN names a binary.

import { afterAll, beforeAll, expect, it } from "vitest";
import {
  createRoom,
  endLogin,
  joinRoom,
  loadDirectory,
  loadLogins,
  openDirect,
  openRoom,
  readUpTo,
  type State,
  selectDirectory,
  selectMembers,
  selectRoomList,
  selectTimeline,
  selectTyping,
  send,
  signIn,
  signOut,
  signUp,
  takeBack,
  typing,
} from "@/model";
import { Browser, type Tab } from "../support/browser";
import { binary, Server } from "./server";

const run = binary ? it : it.skip;
const server = new Server();
const PASSWORD = "a long pass phrase 42";

beforeAll(async () => {
  if (binary) await server.start();
}, 60_000);
afterAll(() => server.remove());

/** Waits until the state of a tab says so. */
function until(tab: Tab, what: (state: State) => boolean): Promise<void> {
  return new Promise((done, fail) => {
    if (what(tab.state)) {
      done();
      return;
    }
    const timer = setTimeout(() => fail(new Error(`not seen in 20 s: ${what.toString()}`)), 20_000);
    const stop = tab.model.store.subscribe(() => {
      if (what(tab.state)) {
        stop();
        clearTimeout(timer);
        done();
      }
    });
  });
}

const texts = (state: State, roomId: string): string[] =>
  selectTimeline(state, roomId).rows.flatMap((row) =>
    row.kind === "message" ? [row.message.content?.kind === "text" ? row.message.content.text : "(deleted)"] : [],
  );
const states = (state: State, roomId: string): string[] =>
  selectTimeline(state, roomId).rows.flatMap((row) => (row.kind === "message" ? [row.message.state] : []));

async function person(name: string): Promise<{ browser: Browser; tab: Tab }> {
  const browser = new Browser(server.world());
  const tab = await browser.open();
  expect(tab.state.session.phase).toBe("signedOut");
  const result = await tab.dispatch(signUp({ username: name, password: PASSWORD }));
  expect(result.ok, JSON.stringify(result)).toBe(true);
  await until(tab, (state) => state.connection.phase === "live" && state.rooms.loaded);
  return { browser, tab };
}

run("two people talk, one goes and comes back, and nothing is lost", async () => {
  const { tab: alice } = await person("alice");
  const { tab: bob, browser } = await person("bob");
  const made = await alice.dispatch(createRoom({ type: "public", name: "general", description: "all of it" }));
  if (!made.ok) throw new Error(JSON.stringify(made));
  const room = made.value;
  await bob.dispatch(loadDirectory());
  expect(selectDirectory(bob.state).rooms.map(({ name }) => name)).toContain("general");
  expect((await bob.dispatch(joinRoom(room))).ok).toBe(true);
  await bob.dispatch(openRoom(room));
  await alice.dispatch(openRoom(room));
  await until(alice, (state) => selectMembers(state, room).members.length === 2);

  expect((await alice.dispatch(send(room, "Lunch? <b>&\u2028"))).ok).toBe(true);
  expect(texts(alice.state, room)).toEqual(["Lunch? <b>&\u2028"]);
  await until(bob, (state) => texts(state, room).length === 1);
  expect(texts(bob.state, room)).toEqual(["Lunch? <b>&\u2028"]);
  await until(alice, (state) => states(state, room).every((one) => one === "sent"));

  alice.dispatch(typing(room));
  await until(bob, (state) => selectTyping(state, room).length === 1);

  // Bob is away while Alice says thirty things.
  await bob.close();
  for (let n = 0; n < 30; n += 1) await alice.dispatch(send(room, `while you were away ${n}`));
  await until(alice, (state) => states(state, room).every((one) => one === "sent"));
  const again = await browser.open();
  expect(again.state.session.phase).toBe("signedIn");
  // What was kept is there at once.
  expect(texts(again.state, room)).toEqual(["Lunch? <b>&\u2028"]);
  await until(again, (state) => texts(state, room).length === 31);
  expect(texts(again.state, room)).toEqual(texts(alice.state, room));
  expect(selectRoomList(again.state)[0]?.unread).toBe(31);
  await again.dispatch(openRoom(room));
  expect(selectTimeline(again.state, room).unreadKey).toBe("unread");

  // Reading moves the marker here and on the server.
  const last = again.state.timelines[room]?.to ?? 0;
  again.dispatch(readUpTo(room, last));
  await until(again, (state) => state.rooms.byId[room]?.readNumber === 31);

  // Taken back: gone for both.
  const seq = alice.state.timelines[room]?.events.findLast((event) => event.kind === "message")?.seq ?? 0;
  expect((await alice.dispatch(takeBack(room, seq))).ok).toBe(true);
  await until(again, (state) => texts(state, room).at(-1) === "(deleted)");
  await until(alice, (state) => texts(state, room).at(-1) === "(deleted)");

  // A second device of Alice's sees the same, and can be ended.
  const phone = new Browser(server.world());
  const tab = await phone.open();
  expect((await tab.dispatch(signIn("alice", "wrong wrong wrong"))).ok).toBe(false);
  expect((await tab.dispatch(signIn("alice", PASSWORD))).ok).toBe(true);
  await until(tab, (state) => state.rooms.byId[room] !== undefined);
  await tab.dispatch(openRoom(room));
  expect(texts(tab.state, room)).toEqual(texts(alice.state, room));
  await tab.dispatch(send(room, "from the phone"));
  await until(alice, (state) => texts(state, room).at(-1) === "from the phone");
  const direct = await alice.dispatch(openDirect(again.state.session.me?.userId ?? ""));
  expect(direct.ok).toBe(true);
  if (direct.ok) {
    await alice.dispatch(send(direct.value, "just you"));
    await until(again, (state) => (state.rooms.byId[direct.value]?.lastNumber ?? 0) === 1);
    expect(selectRoomList(again.state)[0]?.title).toBe("alice");
  }
  await alice.dispatch(loadLogins());
  const other = alice.state.logins.list.find((login) => !login.current);
  expect((await alice.dispatch(endLogin(other?.sessionId ?? ""))).ok).toBe(true);
  await until(tab, (state) => state.session.phase === "signedOut");
  expect(tab.state.session.ended).toBe("revoked");
  expect(Object.keys(tab.state.rooms.byId)).toEqual([]);

  await again.dispatch(signOut());
  expect(again.state.session.phase).toBe("signedOut");
  expect([...browser.disk.users.values()].every((user) => user.timelines.size === 0 && user.rooms.size === 0)).toBe(
    true,
  );
});

run("the server is killed and started again: what was written meanwhile arrives once each, in order", async () => {
  const { tab: carol, browser } = await person("carol");
  const { tab: dave } = await person("dave");
  const made = await carol.dispatch(
    createRoom({ type: "private", name: "secret", members: [dave.state.session.me?.userId ?? ""] }),
  );
  if (!made.ok) throw new Error(JSON.stringify(made));
  const room = made.value;
  await until(dave, (state) => state.rooms.byId[room] !== undefined);
  await dave.dispatch(openRoom(room));
  await carol.dispatch(send(room, "first"));
  await until(dave, (state) => texts(state, room).length === 1);
  await server.end("SIGKILL");
  await until(carol, (state) => state.connection.phase !== "live");
  for (let n = 0; n < 10; n += 1) await carol.dispatch(send(room, `offline ${n}`));
  // What was shown is kept a moment later.
  await expect
    .poll(() => [...browser.disk.users.values()][0]?.timelines.get(room)?.to)
    .toBe(carol.state.timelines[room]?.to);
  // The page is reloaded while there is no server.
  carol.kill();
  const again = await browser.open();
  expect(again.state.session.phase).toBe("signedIn");
  for (let n = 10; n < 20; n += 1) await again.dispatch(send(room, `offline ${n}`));
  expect(texts(again.state, room).length).toBe(21);
  await until(again, (state) => state.connection.banner);
  await server.start();
  await until(dave, (state) => texts(state, room).length === 21);
  const wanted = ["first", ...Array.from({ length: 20 }, (_, n) => `offline ${n}`)];
  expect(texts(dave.state, room)).toEqual(wanted);
  await until(again, (state) => states(state, room).every((one) => one === "sent"));
  expect(texts(again.state, room)).toEqual(wanted);
});
