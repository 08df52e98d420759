// For everybody: axe finds nothing that matters, everything works with the keyboard alone, and pages reflow when they are narrow or large.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { inside, opened, PASSWORD, say, sees, shown, signIn, the } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
import { Person } from "./support/people.mjs";
import { Server } from "./support/server.mjs";
import { STATES, world } from "./support/states.mjs";
import { test } from "./support/test.mjs";
import { eventually } from "./support/wait.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let server, browser, all;
before(async () => {
  server = await Server.start();
  browser = await launch(server);
  all = await world(server);
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

/** What axe finds, as lines; "minor" ones are matters of taste. */
async function faults(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact !== "minor")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary?.replaceAll("\n", " ")}`));
}

/** Nothing when the state was reached, otherwise why not and what was waited for: one that fails does not hide the others. */
const reached = (way) => way().then(() => null, (error) => [`not reached: ${error.message.split("\n").slice(0, 4).join(" ")}`]);

test("axe sees a fault where there is one", async () => {
  const device = await Device.open(browser, server.origin);
  const page = await device.window("/signin");
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await page.evaluate(() => document.querySelector("main").append(document.createElement("button"), document.createElement("img")));
  const found = await faults(page);
  assert.deepEqual(found.map((fault) => fault.split(":")[0]).sort(), ["button-name", "image-alt"]);
  await device.close();
});

const LOOKS = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  // One pane at a time, each of which has to be a whole page.
  "a phone": { viewport: { width: 390, height: 800 } },
};
for (const [look, options] of Object.entries(LOOKS)) {
  test(`axe finds nothing on any page or state, ${look}`, async () => {
    const found = [];
    for (const [name, state] of Object.entries(STATES)) {
      const device = await Device.open(browser, server.origin, { network: true, reducedMotion: "reduce", ...options });
      const page = await device.window("/signin");
      const seen = await reached(() => state(page, all, device));
      for (const fault of seen ?? (await faults(page))) found.push(`${name}: ${fault}`);
      await device.close();
    }
    assert.deepEqual(found, []);
  });
}

test("pages reflow: nothing is cut off or scrolls sideways at 320 px, as at 400 %", async () => {
  const found = [];
  for (const [name, state] of Object.entries(STATES)) {
    const device = await Device.open(browser, server.origin, { network: true, viewport: { width: 320, height: 256 }, reducedMotion: "reduce" });
    const page = await device.window("/signin");
    const seen = await reached(() => state(page, all, device));
    const wrong = seen ?? await page.evaluate(() => {
      const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      const out = [...document.querySelectorAll("button, a, input, textarea, h1, h2")].filter((element) => {
        const box = element.getBoundingClientRect();
        const hidden = element.closest(".visually-hidden, .skip-link, [hidden], [aria-hidden=true]") !== null;
        return !hidden && box.width > 0 && element.checkVisibility() && (box.left < -1 || box.right > innerWidth + 1);
      });
      return [...(wide > 0 ? [`${wide} px too wide`] : []), ...out.map((element) => `outside: ${element.outerHTML.slice(0, 120)}`)];
    });
    found.push(...wrong.map((fault) => `${name}: ${fault}`));
    await device.close();
  }
  assert.deepEqual(found, []);
});

/** Goes on with Tab until this has the focus; fails when it never does. */
async function tabTo(page, locator, key = "Tab") {
  for (let n = 0; n < 60; n += 1) {
    if (await locator.evaluateAll((elements) => elements.some((element) => element === document.activeElement))) return;
    await page.keyboard.press(key);
    const shows = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === null || element === document.body) return true;
      const box = element.getBoundingClientRect();
      return element.matches(":focus-visible") && box.width > 0 && box.height > 0;
    });
    assert.ok(shows, `the focus cannot be seen: ${await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200))}`);
  }
  assert.fail(`not reached by ${key}: ${locator}`);
}

test("from the first page to a message, a room, a person, and out again, without a mouse", async () => {
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  const keys = page.keyboard;
  // An account.
  await tabTo(page, page.getByRole("link", { name: "Create account" }));
  await keys.press("Enter");
  await tabTo(page, page.getByLabel("Username", { exact: true }));
  await keys.type("ann.keys");
  await tabTo(page, page.getByLabel("Password", { exact: true }));
  await keys.type(PASSWORD);
  await keys.press("Enter");
  await inside(page);

  // A room of one's own.
  await tabTo(page, page.getByRole("button", { name: "New room" }));
  await keys.press("Enter");
  await the.dialog(page).waitFor();
  await keys.type("By keyboard");
  await tabTo(page, the.dialog(page).getByRole("radio", { name: /^Everybody/ }));
  await keys.press("ArrowDown");
  assert.equal(await the.dialog(page).getByRole("radio", { name: /^By invitation/ }).isChecked(), true);
  await tabTo(page, page.getByRole("button", { name: "Make the room" }));
  await keys.press("Enter");
  await opened(page);

  // A message: the field has the focus.
  await eventually("the field has the focus", () => the.field(page).evaluate((field) => field === document.activeElement));
  await keys.type("first line");
  await keys.press("Shift+Enter");
  await keys.type("second line");
  await keys.press("Enter");
  await eventually("both lines", async () => (await shown(page)).some((row) => row.text.includes("first line") && row.text.includes("second line") && row.state === "sent"));

  // An emoji by name.
  await keys.type("so :smil");
  await page.getByRole("listbox", { name: "Emoji suggestions" }).waitFor();
  await keys.press("Enter");
  await keys.press("Enter");
  await eventually("a smile", async () => (await shown(page)).some((row) => /^so \p{Emoji_Presentation}/u.test(row.text)));

  // Up to the messages, and one of them is taken back.
  await keys.press("ArrowUp");
  await eventually("a message has the focus", () => page.evaluate(() => document.activeElement.matches("article.message")));
  await tabTo(page, page.locator("article.message:focus-within").getByRole("button", { name: "Message actions" }));
  await keys.press("Enter");
  await page.getByRole("menuitem", { name: "Delete message" }).waitFor();
  await keys.press("ArrowDown");
  await keys.press("Enter");
  await the.question(page).waitFor();
  await tabTo(page, the.question(page).getByRole("button", { name: "Delete" }));
  await keys.press("Enter");
  await page.getByText("This message was deleted.").first().waitFor();

  // The list of keys, and away with it.
  await page.evaluate(() => document.activeElement?.blur());
  await keys.press("?");
  await the.dialog(page).getByRole("heading", { name: "Keyboard shortcuts" }).waitFor();
  await keys.press("Escape");
  await the.dialog(page).waitFor({ state: "detached" });

  // To somebody by a few letters, and back with Alt and an arrow.
  await keys.press("Control+k");
  await page.getByRole("combobox").waitFor();
  await keys.type("bob.world");
  await page.getByRole("option", { name: /bob\.world/ }).waitFor();
  await keys.press("Enter");
  await opened(page);
  await eventually("the field has the focus", () => the.field(page).evaluate((field) => field === document.activeElement));
  const direct = page.url();
  await keys.type("hello from the keyboard");
  await keys.press("Enter");
  await sees(page, "hello from the keyboard");
  await keys.press("Alt+ArrowUp");
  await page.waitForURL((url) => url.href !== direct);
  await opened(page);

  // Members and details.
  await tabTo(page, page.getByRole("button", { name: "Details and members" }));
  await keys.press("Enter");
  await page.getByRole("heading", { name: "Details" }).waitFor();
  await tabTo(page, page.getByRole("button", { name: "Change name or description" }));
  await keys.press("Enter");
  await the.dialog(page).waitFor();
  await keys.press("Escape");

  // Settings: another theme, and out.
  await tabTo(page, page.getByRole("button", { name: "Settings", exact: true }), "Shift+Tab");
  await keys.press("Enter");
  await page.getByRole("heading", { name: "Settings", level: 1 }).waitFor();
  await tabTo(page, page.getByRole("radio", { name: "As the system" }).first());
  await keys.press("ArrowDown");
  await keys.press("ArrowDown");
  await eventually("it is dark", () => page.evaluate(() => document.documentElement.dataset.theme === "dark"));
  await tabTo(page, page.getByRole("button", { name: "Sign out", exact: true }));
  await keys.press("Enter");
  await the.question(page).waitFor();
  await tabTo(page, the.question(page).getByRole("button", { name: "Sign out" }));
  await keys.press("Enter");
  await page.getByRole("heading", { name: "Welcome back" }).waitFor();
  await device.close();
});

test("a right-to-left language turns the page around", async () => {
  await Person.signUp(server, "ann.rtl");
  const device = await Device.open(browser, server.origin, { locale: "ar" });
  const page = await device.window("/signin");
  await page.locator("input[name=username]").fill("ann.rtl");
  await page.locator("input[name=password]").fill(PASSWORD);
  await page.locator("button[type=submit]").click();
  await page.locator("nav").first().waitFor();
  assert.deepEqual(await page.evaluate(() => [document.documentElement.dir, document.documentElement.lang]), ["rtl", "ar"]);
  const [list, main] = [await page.locator("nav").first().boundingBox(), await page.locator("main").boundingBox()];
  assert.ok(list.x > main.x, "the list stands on the right");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth));
  await device.close();
});
