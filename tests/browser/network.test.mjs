// A network that breaks, and a server that crashes: nothing is lost, nothing comes twice, and it is said in words when it lasts.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { inside, joinRoom, makeRoom, opened, say, saidOnce, sees, shown, signUp, texts, the, wholeRoom } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
import { Person } from "./support/people.mjs";
import { Proxy } from "./support/proxy.mjs";
import { Server } from "./support/server.mjs";
import { test } from "./support/test.mjs";
import { eventually } from "./support/wait.mjs";

const FAST = { "limits.messages_per_second": 1000, "limits.messages_burst": 1000, "limits.requests_per_second": 1000 };

let server, browser;
before(async () => {
  server = await Server.start(FAST);
  browser = await launch(server);
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

const numbered = (word, count, from = 1) => Array.from({ length: count }, (_, n) => `${word} ${n + from}`);

test("what is written without a network is kept through a reload and sent once each, in order", async () => {
  const ann = await Device.open(browser, server.origin, { network: true, viewport: { width: 1000, height: 2400 } });
  const page = await ann.window();
  await signUp(page, "ann.offline");
  const room = await makeRoom(page, "Written offline");
  await say(page, "before");
  await sees(page, "before");
  // The worker keeps the app, so that a reload without a network is possible at all.
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));

  await ann.context.setOffline(true);
  await the.banner(page).getByText("You are offline").waitFor();
  for (const text of numbered("offline", 12)) await say(page, text);
  await page.reload();
  await opened(page);
  assert.deepEqual((await shown(page)).filter((row) => row.text.startsWith("offline")).map((row) => row.state), Array(12).fill("waiting"));
  for (const text of numbered("offline", 8, 13)) await say(page, text);

  await ann.context.setOffline(false);
  await sees(page, "offline 20");
  const wanted = ["before", ...numbered("offline", 20)];
  assert.deepEqual(await texts(page), wanted);
  await eventually("all are sent", async () => (await shown(page)).every((row) => row.state === "sent"));
  const bob = await Person.signUp(server, "bob.offline");
  await bob.join(room);
  assert.deepEqual(await bob.said(room), wanted);
  // Once more from the beginning: what is kept here is the same.
  await page.reload();
  await opened(page);
  await eventually("all are there again", async () => (await texts(page)).length >= wanted.length);
  assert.deepEqual(await texts(page), wanted);
  await ann.close();
});

test("a hundred lost connections leave no gap and nothing twice", async () => {
  const proxy = await Proxy.before(server);
  const ann = await Device.open(browser, proxy.origin, { network: true });
  const page = await ann.window();
  await signUp(page, "ann.drops");
  const room = await makeRoom(page, "Drops");
  const bob = await Person.signUp(server, "bob.drops");
  await bob.join(room);

  const heard = numbered("heard", 300);
  const said = numbered("said", 50);
  const rest = { heard: heard.values(), said: said.values() };
  let greeted = 0;
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => (greeted += payload.includes('"type":"hello"') ? 1 : 0)));
  await page.reload();
  await opened(page);
  while (proxy.cuts < 100) {
    // Each cut hits a connection that had become whole, while both talk: one over it, one past it.
    // The browser says that a network is there, as it does when one comes back: otherwise the waits grow up to 20 s.
    await eventually("a connection", async () => {
      if (greeted <= proxy.cuts) await page.evaluate(() => dispatchEvent(new Event("online")));
      return greeted > proxy.cuts;
    });
    if (proxy.cuts % 2 === 0) await say(page, rest.said.next().value);
    const talk = [bob.say(room, rest.heard.next().value), bob.say(room, rest.heard.next().value)];
    await Promise.race(talk);
    proxy.cut();
    await Promise.all(talk);
    await bob.say(room, rest.heard.next().value);
  }
  await sees(page, heard.at(-1));
  await eventually("all are sent", async () => (await shown(page)).every((row) => row.state === "sent"));

  const truth = await bob.said(room);
  // Two of Bob's go out at once, so their order is the server's to decide; each is there once.
  assert.deepEqual(new Set(truth.filter((text) => text.startsWith("heard"))), new Set(heard));
  assert.deepEqual(truth.filter((text) => text.startsWith("said")), said);
  assert.equal(truth.length, heard.length + said.length);
  assert.deepEqual((await wholeRoom(page)).map((row) => row.text), truth);
  await ann.close();
  await proxy.close();
});

test("a crash of the server is survived by who was in the middle of a sentence", async () => {
  const [anns, bobs] = [
    await Device.open(browser, server.origin, { network: true }),
    await Device.open(browser, server.origin, { network: true }),
  ];
  const [ann, bob] = [await anns.window(), await bobs.window()];
  await signUp(ann, "ann.crash");
  await makeRoom(ann, "Crash");
  await signUp(bob, "bob.crash");
  await joinRoom(bob, "Crash");
  await say(ann, "before the crash");
  await saidOnce([ann, bob], "before the crash");

  await server.kill();
  await say(ann, "into the dark");
  await the.field(bob).fill("half a sen");
  // It is said in words, after a while.
  await the.banner(ann).getByText("No connection to the server.").waitFor();
  assert.notEqual((await shown(ann)).find((row) => row.text === "into the dark").state, "sent");
  await server.up();
  await saidOnce([ann, bob], "into the dark");
  await eventually("the banner is gone", async () => (await the.banner(ann).textContent()) === "");
  assert.equal(await the.field(bob).inputValue(), "half a sen");
  await the.field(bob).pressSequentially("tence");
  await the.field(bob).press("Enter");
  await saidOnce([ann, bob], "half a sentence");
  for (const page of [ann, bob]) assert.deepEqual(await texts(page), ["before the crash", "into the dark", "half a sentence"]);

  // What was said is there after a reload, and in a new window.
  await ann.reload();
  await inside(ann);
  await saidOnce([ann], "half a sentence");
  await anns.close();
  await bobs.close();
});

test("a short break is not worth a word", async () => {
  const proxy = await Proxy.before(server);
  const ann = await Device.open(browser, proxy.origin, { network: true });
  const page = await ann.window();
  await signUp(page, "ann.short");
  await makeRoom(page, "Short");
  await the.banner(page).evaluate((banner) => {
    globalThis.said = [];
    new MutationObserver(() => globalThis.said.push(banner.textContent)).observe(banner, { childList: true, subtree: true, characterData: true });
  });
  proxy.cut();
  await say(page, "over the new one");
  await sees(page, "over the new one");
  assert.deepEqual(await page.evaluate(() => globalThis.said), []);

  // One that lasts is told, and so is its end.
  proxy.part();
  await the.banner(page).getByText("No connection to the server.").waitFor();
  proxy.mend();
  await page.getByRole("button", { name: "Try now" }).click();
  await eventually("the banner is gone", async () => (await the.banner(page).textContent()) === "");
  await ann.close();
  await proxy.close();
});
