// The app without a network: it opens with what was there, is installable, and a new version is offered and not forced.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { kept, makeRoom, opened, say, sees, shown, signUp, the } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
import { Relay } from "./support/relay.mjs";
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

const ready = (page) => page.evaluate(() => navigator.serviceWorker.ready.then(() => true));

test("it opens without a server, with what was there", async () => {
  const device = await Device.open(browser, server.origin, { network: true });
  const page = await device.window();
  await signUp(page, "ann.away", "Ann");
  await makeRoom(page, "Kept");
  await say(page, "kept on this device");
  await sees(page, "kept on this device");
  const draft = "a draft that stays";
  await the.field(page).fill(draft);
  await ready(page);
  // What is on screen is written down within a second; this is about what was there before the network went.
  await eventually("message and draft are kept", async () => {
    const all = await kept(page);
    return all.includes(draft) && all.includes("kept on this device");
  });
  await page.reload();
  await opened(page);
  assert.equal(await the.field(page).inputValue(), draft);

  await server.kill();
  const later = await device.window("/");
  await the.list(later).waitFor();
  await the.room(later, "Kept").click();
  await eventually("the message", async () => (await shown(later)).some((row) => row.text === "kept on this device"));
  assert.equal(await the.field(later).inputValue(), draft);
  await the.banner(later).getByText("No connection to the server.").waitFor();
  await say(later, "for later");
  await server.up();
  await sees(later, "for later");
  await device.close();
});

test("no call of the API waits for the worker", async () => {
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signUp(page, "ann.hurried");
  await ready(page);
  await page.reload();
  await the.list(page).waitFor();
  const [own, calls] = await eventually("the page has asked the API", () =>
    page.evaluate(() => {
      const [navigation] = performance.getEntriesByType("navigation");
      const calls = performance.getEntriesByType("resource").filter(({ name }) => name.includes("/api/"));
      return calls.length > 0 ? [navigation.workerStart, calls.map((call) => call.workerFinalSourceType)] : null;
    }),
  );
  assert.ok(own > 0, "the page itself comes from the worker");
  assert.deepEqual(calls, calls.map(() => "network"));
  await device.close();
});

test("it can be installed", async () => {
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  const link = await page.locator("link[rel=manifest]").getAttribute("href");
  const answer = await server.call("GET", link);
  assert.deepEqual([answer.status, answer.headers["content-type"]], [200, "application/manifest+json"]);
  const manifest = answer.json();
  assert.ok(manifest.name && manifest.start_url && manifest.display === "standalone");
  const sizes = new Set();
  for (const icon of manifest.icons) {
    const picture = await server.call("GET", new URL(icon.src, `${server.origin}${link}`).pathname);
    assert.equal(picture.status, 200, icon.src);
    for (const size of icon.sizes.split(" ")) sizes.add(size);
  }
  assert.ok(sizes.has("192x192") && sizes.has("512x512"), [...sizes].join(" "));
  // What the browser itself finds missing.
  const session = await device.context.newCDPSession(page);
  const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
  assert.deepEqual(installabilityErrors.map((error) => error.errorId).filter((id) => id !== "in-incognito"), []);
  await device.close();
});

/** The next version: another page and another worker, as a newer server would have them. */
const nextVersion = (path, text) => {
  if (path === "/sw.js") {
    const next = text.replace(/("revision":")[0-9a-f]+(","url":"index\.html")/, "$10000$2");
    assert.notEqual(next, text, "the worker names the revision of its page");
    return next;
  }
  return /^\/(index\.html)?(\?|$)/.test(path) ? text.replace("<title>", '<meta name="next-version"><title>') : text;
};

const isNext = (page) => page.evaluate(() => document.querySelector("meta[name=next-version]") !== null);

test("a new version is offered and not forced", async (t) => {
  const relay = await Relay.before(server);
  t.after(() => relay.close());
  const device = await Device.open(browser, relay.origin);
  const page = await device.window();
  await signUp(page, "ann.update");
  const room = await makeRoom(page, "Update");
  await ready(page);
  await page.reload();
  await opened(page);
  const other = await device.window(`/r/${room}`);
  await opened(other);
  await the.field(page).fill("half a sentence");
  const loads = [];
  for (const one of [page, other]) one.on("load", () => loads.push(one === page ? "page" : "other"));
  relay.change = nextVersion;
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
  for (const one of [page, other]) await one.getByText("A new version", { exact: false }).first().waitFor();
  // It is there and waits; a reload for other reasons does not bring it in either.
  await eventually("it waits", () => page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).waiting !== null));
  assert.equal(await the.field(page).inputValue(), "half a sentence");
  assert.deepEqual(loads, []);
  await eventually("what was written is kept", async () => (await kept(page)).includes("half a sentence"));
  await page.reload();
  await opened(page);
  assert.equal(await isNext(page), false);
  await page.getByText("A new version", { exact: false }).first().waitFor();
  loads.length = 0;

  // When one likes, with what was written; the other tab stays as it is.
  const loaded = page.waitForEvent("load");
  await page.getByRole("button", { name: "Reload now" }).click();
  await loaded;
  await opened(page);
  assert.equal(await isNext(page), true);
  assert.equal(await the.field(page).inputValue(), "half a sentence");
  assert.deepEqual(loads, ["page"]);

  // There it is offered still.
  const loadedToo = other.waitForEvent("load");
  await other.getByRole("button", { name: "Reload now" }).click();
  await loadedToo;
  await opened(other);
  assert.equal(await isNext(other), true);
  await device.close();
});
