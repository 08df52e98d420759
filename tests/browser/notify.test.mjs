// Being told of a message while one does not look: by a notification, by a tone, once, and never while one reads it.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { makeRoom, opened, sees, signUp, the } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
import { Person } from "./support/people.mjs";
import { Server } from "./support/server.mjs";
import { test } from "./support/test.mjs";
import { eventually } from "./support/wait.mjs";

let server, browser;
before(async () => {
  server = await Server.start();
  browser = await launch(server);
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

/** Notes what the page asks of the browser: notifications, and what becomes of its tones. */
function listen() {
  globalThis.told = [];
  globalThis.tones = [];
  const Real = globalThis.Notification;
  globalThis.Notification = class {
    static get permission() {
      return Real.permission;
    }
    static requestPermission() {
      return Real.requestPermission();
    }
    constructor(title, options) {
      globalThis.told.push({ title, ...options });
    }
    close() {}
  };
  const RealAudio = globalThis.AudioContext;
  globalThis.AudioContext = class extends RealAudio {
    constructor(...all) {
      super(...all);
      const tone = { states: [this.state] };
      globalThis.tones.push(tone);
      this.addEventListener("statechange", () => tone.states.push(this.state));
    }
  };
}

const told = (page) => page.evaluate(() => globalThis.told);
const tones = (page) => page.evaluate(() => globalThis.tones);
const plain = (text) => text.replace(/[\u2066-\u2069]/g, "");

test("who does not look is told once, who looks is not", async () => {
  const device = await Device.open(browser, server.origin);
  await device.context.grantPermissions(["notifications"], { origin: server.origin });
  await device.context.addInitScript(listen);
  const page = await device.window();
  await signUp(page, "ann.told");
  const room = await makeRoom(page, "Garden talk");
  const bob = await Person.signUp(server, "bob.told", "Bob");
  await bob.join(room);

  // As nobody has asked for either, there is neither.
  const cdp = await device.context.newCDPSession(page);
  const away = await device.context.newPage();
  const lookAway = async () => {
    await cdp.send("Emulation.setFocusEmulationEnabled", { enabled: false });
    await away.bringToFront();
    await eventually("it is not looked at", () => page.evaluate(() => !document.hasFocus()));
  };
  const lookAgain = async () => {
    await cdp.send("Emulation.setFocusEmulationEnabled", { enabled: true });
    await page.bringToFront();
    await eventually("it is looked at", () => page.evaluate(() => document.hasFocus() && document.visibilityState === "visible"));
  };
  await lookAway();
  await bob.say(room, "nobody hears this");
  await sees(page, "nobody hears this");
  assert.deepEqual([await told(page), await tones(page)], [[], []]);

  // Both are switched on; the tone is heard once, and really sounds.
  await lookAgain();
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await page.getByRole("switch", { name: /^Tell me of new messages/ }).check();
  await page.getByRole("switch", { name: /^Play a sound/ }).check();
  await eventually("the tone was heard and is over", async () => (await tones(page))[0]?.states.at(-1) === "closed");
  assert.ok((await tones(page))[0].states.includes("running"), JSON.stringify(await tones(page)));

  // Looked at, whether in the room or elsewhere, nothing is told: the list shows it.
  await bob.say(room, "seen in the list");
  await the.room(page, "Garden talk").getByText("1 unread message").waitFor({ state: "attached" });
  await the.room(page, "Garden talk").click();
  await opened(page);
  await bob.say(room, "seen in the room");
  await sees(page, "seen in the room");
  assert.deepEqual(await told(page), []);
  assert.equal((await tones(page)).length, 1);

  // Not looked at: one notification, with the words as they are read, and one tone for what comes together.
  await lookAway();
  await bob.say(room, "is **anybody** there?");
  await eventually("it is told", async () => (await told(page)).length > 0);
  await bob.say(room, "hello?");
  await eventually("that too", async () => (await told(page)).length > 1);
  const [first, ...more] = await told(page);
  assert.deepEqual(
    { title: plain(first.title), body: first.body, tag: first.tag, silent: first.silent },
    { title: "Bob in Garden talk", body: "is anybody there?", tag: room, silent: true },
  );
  // The next replaces it: the same tag.
  assert.deepEqual(more.map(({ body, tag }) => [body, tag]), [["hello?", room]]);
  assert.equal((await tones(page)).length, 2);
  await device.close();
});
