// Much of everything: ten thousand messages, two hundred rooms, the longest texts. Nothing jumps and nothing breaks out of its place.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { inside, opened, say, sees, shown, signIn, the } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
import { Person } from "./support/people.mjs";
import { Server } from "./support/server.mjs";
import { test } from "./support/test.mjs";
import { eventually } from "./support/wait.mjs";

let server, browser, bob;
before(async () => {
  const fast = { "limits.messages_per_second": 100_000, "limits.messages_burst": 100_000, "limits.requests_per_second": 100_000 };
  server = await Server.start(fast);
  browser = await launch(server);
  bob = await Person.signUp(server, "bob.long");
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

/**
 * Scrolls up, 400 px a step, `frames` frames for each, until the beginning or for so many steps. Frame by frame a row in the middle of the screen
 * is watched: it may move by what was scrolled and by nothing else, whatever comes in above it.
 */
const scrollUp = (page, frames, steps = Infinity) =>
  page.locator(".timeline-list").evaluate(
    async (list, [frames, steps]) => {
      const frame = () => new Promise((done) => requestAnimationFrame(done));
      const middle = () => {
        const box = list.getBoundingClientRect();
        return document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2)?.closest("[data-row]");
      };
      const seen = new Set();
      const look = () => {
        for (const one of list.querySelectorAll("article.message")) seen.add(one.dataset.key);
      };
      // The list keeps rows ahead of where one scrolls to: the last ones go with the first step up.
      look();
      const jumps = [];
      let still = 0;
      for (let step = 0; step < (steps ?? Infinity) && still < 10; step += 1) {
        const row = middle();
        const key = row?.dataset.key;
        const before = row?.getBoundingClientRect().top;
        const from = list.scrollTop;
        list.dispatchEvent(new WheelEvent("wheel", { bubbles: true, deltaY: -400 }));
        list.scrollBy({ top: -400 });
        const moved = from - list.scrollTop;
        for (let n = 0; n < frames; n += 1) await frame();
        const same = key === undefined ? null : list.querySelector(`[data-key="${CSS.escape(key)}"]`);
        if (same !== null) {
          const off = same.getBoundingClientRect().top - before - moved;
          if (Math.abs(off) > 1) jumps.push({ step, off });
        }
        look();
        still = list.scrollTop <= 0 && list.querySelector(".beginning") !== null ? still + 1 : 0;
      }
      return { seen: seen.size, jumps, rows: list.querySelectorAll("[data-row]").length };
    },
    [frames, steps],
  );

/** How long frames take, in ms, while the list scrolls by 200 px in each: up, then down. */
const frameTimes = (page, frames) =>
  page.locator(".timeline-list").evaluate(async (list, frames) => {
    const times = [];
    let last = await new Promise((done) => requestAnimationFrame(done));
    for (let n = 0; n < frames; n += 1) {
      const up = n < frames / 2;
      list.dispatchEvent(new WheelEvent("wheel", { bubbles: true, deltaY: up ? -200 : 200 }));
      list.scrollBy({ top: up ? -200 : 200 });
      const now = await new Promise((done) => requestAnimationFrame(done));
      times.push(now - last);
      last = now;
    }
    times.sort((a, b) => a - b);
    const at = (part) => Number(times[Math.floor(part * (times.length - 1))].toFixed(1));
    const mean = times.reduce((sum, one) => sum + one, 0) / times.length;
    return { frames, perSecond: Number((1000 / mean).toFixed(1)), half: at(0.5), most: at(0.95), worst: at(1), over50: times.filter((one) => one > 50).length };
  }, frames);

test("ten thousand messages scroll back without a jump", async () => {
  const room = await bob.room("Ten thousand");
  const words = (n) => `message ${n} ${"lorem ipsum dolor sit amet ".repeat(n % 7)}`.trim();
  await bob.sayAll(room, Array.from({ length: 10_000 }, (_, n) => words(n)), 32);
  const ann = await Person.signUp(server, "ann.long");
  await ann.join(room);
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signIn(page, "ann.long");

  // At once after opening, as fast as frames are drawn: the list is still measured, and the first older rows come in.
  for (let round = 0; round < 5; round += 1) {
    await page.goto("/settings");
    await page.goto(`/r/${room}`);
    await opened(page);
    await page.locator("article.message").first().waitFor();
    assert.deepEqual((await scrollUp(page, 1, 25)).jumps, [], `opened for the ${round + 1}. time`);
  }

  await page.goto("/settings");
  await page.goto(`/r/${room}`);
  await opened(page);
  await page.locator("article.message").first().waitFor();
  const result = await scrollUp(page, 2);
  assert.deepEqual(result.jumps, []);
  assert.equal(result.seen, 10_000);
  // Only what is near the screen is in the page.
  assert.ok(result.rows < 300, `${result.rows} rows`);

  // From there to the newest and back to work.
  await page.getByRole("button", { name: "Jump to the newest" }).or(page.getByRole("button", { name: /new messages? below/ })).first().click();
  await eventually("the newest", async () => (await shown(page)).some((row) => row.text.startsWith("message 99")));
  // A figure to read, no limit: how fast frames are drawn is the machine's.
  console.log("frames with 10,000 rows, 200 px in each:", JSON.stringify(await frameTimes(page, 600)));
  await page.getByRole("button", { name: "Jump to the newest" }).click({ timeout: 1000 }).catch(() => {});
  await say(page, "still quick");
  await sees(page, "still quick");
  await device.close();
});

test("a step just before older rows come in is not taken back", async () => {
  const room = await bob.room("Just before");
  await bob.sayAll(room, Array.from({ length: 300 }, (_, n) => `message ${n}`));
  const ann = await Person.signUp(server, "ann.before");
  await ann.join(room);
  const device = await Device.open(browser, server.origin);
  // The step falls between two frames, into the very moment before the app hears of the older rows: the list cannot know of it yet.
  await device.context.addInitScript(() => {
    const { set, get } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
    Object.defineProperty(WebSocket.prototype, "onmessage", {
      get,
      set(listener) {
        set.call(this, (event) => {
          const list = document.querySelector(".timeline-list");
          if (list !== null && globalThis.stepped === undefined && event.data.includes('"type":"history"')) {
            const row = [...list.querySelectorAll("[data-row]")].at(-1);
            const before = row.getBoundingClientRect().top;
            list.dispatchEvent(new WheelEvent("wheel", { bubbles: true, deltaY: -100 }));
            list.scrollBy({ top: -100 });
            globalThis.stepped = { atEnd: list.scrollHeight - list.scrollTop - list.clientHeight, moved: row.getBoundingClientRect().top - before };
            requestAnimationFrame(() => requestAnimationFrame(() => {
              globalThis.stepped.later = row.getBoundingClientRect().top - before;
            }));
          }
          listener.call(this, event);
        });
      },
    });
  });
  const page = await device.window();
  await signIn(page, "ann.before");
  await page.goto("/settings");
  await page.goto(`/r/${room}`);
  await opened(page);
  const stepped = await eventually("older rows", () => page.evaluate(() => (globalThis.stepped?.later === undefined ? null : globalThis.stepped)));
  assert.equal(Math.round(stepped.moved), 100);
  assert.equal(Math.round(stepped.atEnd), 100, "it stood at the end before");
  assert.ok(Math.abs(stepped.later - stepped.moved) <= 1, JSON.stringify(stepped));
  await device.close();
});

test("where one stopped reading is marked, and found", async () => {
  const room = await bob.room("Unread");
  const ann = await Person.signUp(server, "ann.unread");
  await ann.join(room);
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signIn(page, "ann.unread");
  await bob.say(room, "read this");
  await page.goto(`/r/${room}`);
  await opened(page);
  await sees(page, "read this");
  await eventually("it is read", async () => (await ann.call("GET", `chat/rooms/${room}`)).read_number === 1);
  await page.goto("/settings");
  await inside(page);
  for (let n = 1; n <= 250; n += 1) await bob.say(room, `unread ${n}`);
  await the.room(page, "Unread").getByText(/unread messages/).waitFor({ state: "attached" });
  await the.room(page, "Unread").click();
  await opened(page);
  // Either it opens at the line, or a button leads there.
  const line = page.getByRole("heading", { name: "New messages" });
  const jump = page.getByRole("button", { name: /250 new messages/ });
  await line.or(jump).first().waitFor();
  if (await jump.isVisible()) await jump.click();
  await line.waitFor();
  await eventually("the first unread message stands below the line", async () => (await shown(page)).some((row) => row.text === "unread 1"));
  await device.close();
});

test("two hundred rooms, and each is three letters away", async () => {
  for (let n = 1; n <= 200; n += 1) await bob.room(`Room number ${n}`, "public");
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signIn(page, "bob.long");
  await eventually("all of them", async () => (await the.list(page).getByRole("link", { name: /Room number/ }).count()) === 200);
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("number 137");
  await page.getByRole("option", { name: /Room number 137/ }).waitFor();
  await page.keyboard.press("Enter");
  await opened(page);
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), "Room number 137");
  await device.close();
});

test("the longest texts stay in their places", async () => {
  const room = await bob.room("L".repeat(80), "public", { description: `d${"escription ".repeat(90)}`.slice(0, 1000) });
  await bob.call("PATCH", "users/me", { display_name: "N".repeat(64) });
  const texts = ["W".repeat(4096), "word ".repeat(819).trim(), "日本語".repeat(1365), "\u{1F469}\u200D\u{1F4BB}".repeat(1365), `\`\`\`\n${"code ".repeat(800)}\n\`\`\``, "ا".repeat(4096), `https://example.org/${"a".repeat(4000)}`, "a\u0301\u0302\u0303\u0304".repeat(800)];
  for (const text of texts) await bob.say(room, text);
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signIn(page, "bob.long");
  for (const width of [320, 768, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    for (const path of [`/r/${room}`, `/r/${room}/details`, "/", "/rooms", "/settings"]) {
      await page.goto(path);
      await page.getByRole("heading").first().waitFor();
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${path} at ${width} px: ${over} px too wide`);
    }
  }
  // One character more than allowed is told before sending, and what was written stays.
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(`/r/${room}`);
  await the.field(page).fill("x".repeat(4097));
  await page.getByText("1 character too many").waitFor();
  assert.equal(await page.getByRole("button", { name: "Send", exact: true }).isDisabled(), true);
  await the.field(page).fill("x".repeat(4096));
  await the.field(page).press("Enter");
  await sees(page, "x".repeat(4096));
  await device.close();
});
