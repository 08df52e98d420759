// Two devices of one person, several people in a room with different rights: all see the same, soon.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { inside, joinRoom, makeRoom, opened, say, saidOnce, sees, shown, signIn, signUp, the } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
import { Person } from "./support/people.mjs";
import { Server } from "./support/server.mjs";
import { test } from "./support/test.mjs";
import { eventually } from "./support/wait.mjs";

let server, browser;
before(async () => {
  server = await Server.start({ "limits.messages_per_second": 5, "limits.messages_burst": 5 });
  browser = await launch(server);
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

test("two devices of one person are in step", async () => {
  const [desk, phone] = [await Device.open(browser, server.origin), await Device.open(browser, server.origin, { viewport: { width: 390, height: 800 } })];
  const [page, small] = [await desk.window(), await phone.window()];
  await signUp(page, "ann.two", "Ann");
  const room = await makeRoom(page, "In step");
  await say(page, "from the desk");
  await sees(page, "from the desk");
  await signIn(small, "ann.two");
  await the.room(small, "In step").click();
  await saidOnce([small], "from the desk");
  await say(small, "from the phone");
  await saidOnce([page, small], "from the phone");

  // Unread on both, read on one: gone on the other within a second.
  await small.getByRole("button", { name: /^Back/ }).or(small.getByRole("link", { name: /^Back/ })).first().click();
  await page.goto("/settings");
  const bob = await Person.signUp(server, "bob.two");
  await bob.join(room);
  await bob.say(room, "have you seen this?");
  for (const window of [page, small]) await the.room(window, "In step").getByText("1 unread message").waitFor({ state: "attached" });
  await small.evaluate(() => {
    const list = document.querySelector("nav");
    globalThis.cleared = new Promise((done) => {
      const look = () => list.querySelector(".badge") === null && done(Date.now());
      new MutationObserver(look).observe(list, { childList: true, subtree: true });
    });
  });
  await page.bringToFront();
  await the.room(page, "In step").click();
  await sees(page, "have you seen this?");
  const read = await page.evaluate(() => Date.now());
  const took = (await small.evaluate(() => globalThis.cleared)) - read;
  console.log(`read on one device, gone on the other after ${took} ms`);
  assert.ok(took < 1000, `${took} ms`);

  // The name is changed on one, and known on the other.
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await page.getByLabel("Your name").fill("Ann of the garden");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Your name was changed.").waitFor();
  await small.reload();
  await inside(small);
  await the.list(small).getByText("Ann of the garden").waitFor();
  await desk.close();
  await phone.close();
});

test("roles allow what they should and no more", async () => {
  const [anns, bobs, carols] = [
    await Device.open(browser, server.origin, { refusals: true }),
    await Device.open(browser, server.origin),
    await Device.open(browser, server.origin, { refusals: true }),
  ];
  const [ann, bob, carol] = [await anns.window(), await bobs.window(), await carols.window()];
  await (await Person.signUp(server, "dora.roles")).room("For everybody");
  await signUp(ann, "ann.roles");
  const room = await makeRoom(ann, "Private matters", { isPrivate: true });
  await signUp(bob, "bob.roles");
  await signUp(carol, "carol.roles");

  // Nobody else can know that it is there.
  await carol.goto(`/r/${room}`);
  await carol.getByRole("heading", { name: "This room cannot be found" }).first().waitFor();
  await bob.getByRole("button", { name: "Find rooms" }).first().click();
  await bob.getByRole("button", { name: "Join For everybody" }).waitFor();
  assert.equal(await bob.getByText("Private matters").count(), 0);

  // Added, one can write; the owner may do more than a member.
  await ann.getByRole("button", { name: "Details and members" }).click();
  for (const name of ["bob.roles", "carol.roles"]) {
    await ann.getByRole("button", { name: "Add people" }).click();
    await the.dialog(ann).getByRole("searchbox").fill(name);
    await the.dialog(ann).getByRole("button", { name: new RegExp(`@${name}`) }).click();
    await the.dialog(ann).getByRole("button", { name: "Add", exact: true }).click();
    await ann.locator("[data-user]").filter({ hasText: `@${name}` }).waitFor();
  }
  await the.room(bob, "Private matters").click();
  await say(bob, "what bob said");
  await the.room(carol, "Private matters").click();
  await saidOnce([ann, bob, carol], "what bob said");
  await carol.getByRole("button", { name: "Details and members" }).click();
  await carol.locator("[data-user]").filter({ hasText: "@ann.roles" }).waitFor();
  for (const name of ["Change name or description", "Delete room", "Add people"]) {
    assert.equal(await carol.getByRole("button", { name }).count(), 0, name);
    assert.equal(await ann.getByRole("button", { name }).count(), 1, name);
  }

  // A moderator may take back what others said.
  await ann.getByRole("button", { name: /^Actions for \P{L}*carol\.roles/u }).click();
  await ann.getByRole("menuitem", { name: "Make moderator" }).click();
  await carol.getByRole("button", { name: "Add people" }).waitFor();
  await carol.getByRole("article").filter({ hasText: "what bob said" }).hover();
  await carol.getByRole("article").filter({ hasText: "what bob said" }).getByRole("button", { name: "Message actions" }).click();
  await carol.getByRole("menuitem", { name: "Delete message" }).click();
  await the.question(carol).getByRole("button", { name: "Delete" }).click();
  for (const page of [ann, bob, carol]) {
    await the.timeline(page).getByText("This message was deleted by a moderator.").waitFor();
    await eventually("its text is nowhere", async () => {
      const left = await page.getByText("what bob said").evaluateAll((elements) => elements.map((element) => element.outerHTML));
      return left.length === 0;
    });
  }

  // The last owner cannot leave before somebody else is one.
  await ann.getByRole("button", { name: "Leave room" }).click();
  await the.question(ann).getByRole("button", { name: "Leave room" }).click();
  await the.question(ann).getByRole("alert").waitFor();
  await the.question(ann).getByRole("button", { name: "Cancel" }).click();
  await anns.close();
  await bobs.close();
  await carols.close();
});

test("who sends too fast is told when it goes on, and nothing is lost", async () => {
  const device = await Device.open(browser, server.origin, { viewport: { width: 1000, height: 2000 } });
  const page = await device.window();
  await signUp(page, "ann.fast");
  await makeRoom(page, "Fast");
  const said = Array.from({ length: 25 }, (_, n) => `quick ${n + 1}`);
  for (const text of said) await say(page, text);
  await sees(page, said.at(-1));
  await eventually("all are sent", async () => (await shown(page)).every((row) => row.state === "sent"));
  assert.deepEqual((await shown(page)).map((row) => row.text), said);
  await device.close();
});

test("a room that was opened by its address asks to join, or is there", async () => {
  const bob = await Person.signUp(server, "bob.link");
  const room = await bob.room("By address");
  await bob.say(room, "come in");
  const device = await Device.open(browser, server.origin);
  const page = await device.window(`/r/${room}`);
  await page.getByRole("link", { name: "Create account" }).click();
  await page.getByLabel("Username", { exact: true }).fill("ann.link");
  await page.getByLabel("Password", { exact: true }).fill("a long enough passphrase");
  await page.getByRole("button", { name: "Create account" }).click();
  await inside(page);
  await page.goto(`/r/${room}`);
  await page.getByRole("button", { name: "Join this room" }).click();
  await opened(page);
  await sees(page, "come in");
  await device.close();
});
