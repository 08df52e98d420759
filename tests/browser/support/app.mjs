// What people do in the app, by the names that everybody hears or reads. A name that changes is changed here and nowhere else.

import assert from "node:assert/strict";
import { eventually } from "./wait.mjs";

export const PASSWORD = "a long enough passphrase";

/** The names of things: roles and labels. */
export const the = {
  field: (page) => page.getByRole("textbox", { name: /^Message to / }),
  timeline: (page) => page.getByTestId("timeline"),
  banner: (page) => page.getByTestId("connection"),
  list: (page) => page.getByRole("navigation", { name: "Conversations" }),
  room: (page, name) => the.list(page).getByRole("link", { name: new RegExp(`^\\P{L}*${escape(name)}`, "u") }),
  dialog: (page) => page.getByRole("dialog"),
  question: (page) => page.getByRole("alertdialog"),
};

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Makes an account, from the first page on. */
export async function signUp(page, username, displayName) {
  await page.goto("/");
  await page.getByRole("link", { name: "Create account" }).click();
  await page.getByLabel("Username", { exact: true }).fill(username);
  if (displayName !== undefined) await page.getByLabel(/^Your name/).fill(displayName);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await inside(page);
}

/** Signs in on a device that has no account yet. */
export async function signIn(page, username, password = PASSWORD) {
  await page.goto("/signin");
  await page.getByLabel("Username", { exact: true }).fill(username);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await inside(page);
}

/** One is in: the list of conversations is there. */
export const inside = (page) => the.list(page).waitFor();

/** Makes a room and stands in it. Answers its id. */
export async function makeRoom(page, name, { isPrivate = false } = {}) {
  await page.getByRole("button", { name: "New room" }).first().click();
  const dialog = the.dialog(page);
  await dialog.getByLabel("Name", { exact: true }).fill(name);
  if (isPrivate) await dialog.getByRole("radio", { name: /^By invitation/ }).check();
  await dialog.getByRole("button", { name: "Make the room" }).click();
  // Another room may have been open before.
  await page.getByRole("heading", { level: 1, name }).waitFor();
  return opened(page);
}

/** A room is open and can be written in. Answers its id. */
export async function opened(page) {
  await page.waitForURL(/\/r\/[0-9a-f-]{36}/);
  await the.field(page).waitFor();
  return /\/r\/([0-9a-f-]{36})/.exec(page.url())[1];
}

/** Finds a public room and joins it. */
export async function joinRoom(page, name) {
  await page.getByRole("button", { name: "Find rooms" }).first().click();
  await page.getByRole("button", { name: `Join ${name}` }).click();
  return opened(page);
}

/** Writes a message and sends it with Enter. */
export async function say(page, text) {
  await the.field(page).fill(text);
  await the.field(page).press("Enter");
}

/** The messages in the page, from top to bottom: key, state, text as it is read. */
export const shown = (page) =>
  the.timeline(page).evaluate((timeline) =>
    [...timeline.querySelectorAll("article.message")].map((row) => ({
      key: row.dataset.key,
      state: row.dataset.state,
      text: (row.querySelector(".markup") ?? row.querySelector(".message-body")).textContent,
    })),
  );

/** The texts in the page. */
export const texts = async (page) => (await shown(page)).map((row) => row.text);

/** A message with this text is in the page, sent. */
export const sees = (page, text) =>
  eventually(`"${text}" in ${page.url()}`, async () => (await shown(page)).some((row) => row.text === text && row.state === "sent"));

/** Every row of the room, by scrolling from its end to its beginning: only rows near the screen are in the page. */
export async function wholeRoom(page) {
  const found = new Map();
  const order = [];
  const list = page.locator(".timeline-list");
  await page.getByRole("button", { name: /^Jump to the newest|new messages? below$/ }).click({ timeout: 1000 }).catch(() => {});
  for (let still = 0; still < 3; ) {
    const rows = await shown(page);
    const fresh = rows.filter((row) => !found.has(row.key));
    for (const row of rows) found.set(row.key, row);
    order.unshift(...fresh.map((row) => row.key));
    const begun = await list.evaluate((element) => {
      element.dispatchEvent(new WheelEvent("wheel", { bubbles: true, deltaY: -element.clientHeight / 2 }));
      element.scrollBy({ top: -element.clientHeight / 2 });
      return element.scrollTop <= 0 && element.querySelector(".beginning") !== null;
    });
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    still = begun && fresh.length === 0 ? still + 1 : 0;
  }
  return order.map((key) => found.get(key));
}

/** The message has come to all of them, once. */
export async function saidOnce(pages, text) {
  for (const page of pages) {
    // A list that has just been opened is drawn anew when its first place is found, so the row may be away for a frame; it is never there twice.
    await eventually(`"${text}" once in ${page.url()}`, async () => {
      const rows = (await shown(page)).filter((row) => row.text === text);
      assert.ok(rows.length <= 1, `"${text}" stands there ${rows.length} times`);
      return rows.length === 1 && rows[0].state === "sent";
    });
  }
}

/** All that the browser keeps for this page beside cookies, as one text. */
export const kept = (page) =>
  page.evaluate(async () => {
    const done = (asked) =>
      new Promise((good, bad) => {
        asked.onsuccess = () => good(asked.result);
        asked.onerror = () => bad(asked.error);
      });
    const all = [{ ...localStorage }, { ...sessionStorage }];
    for (const { name, version } of await indexedDB.databases()) {
      const base = await done(indexedDB.open(name, version));
      for (const store of base.objectStoreNames) all.push(await done(base.transaction(store).objectStore(store).getAll()));
      base.close();
    }
    for (const name of await caches.keys()) all.push((await (await caches.open(name)).keys()).map((request) => request.url));
    return JSON.stringify(all);
  });
