// From the first page to a conversation: two people, two windows, and nothing that a newcomer would have to know.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { joinRoom, makeRoom, opened, saidOnce, say, sees, shown, signUp, the } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
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

test("two people who have never been here talk", async () => {
  const [anns, bobs] = [await Device.open(browser, server.origin), await Device.open(browser, server.origin)];
  const [ann, bob] = [await anns.window(), await bobs.window()];
  await signUp(ann, "ann", "Ann");
  await makeRoom(ann, "Garden");
  await say(ann, "Is anybody here?");
  await sees(ann, "Is anybody here?");

  await signUp(bob, "bob");
  await joinRoom(bob, "Garden");
  await sees(bob, "Is anybody here?");
  await say(bob, "Yes: me");
  await saidOnce([ann, bob], "Yes: me");

  // What one is writing is seen by the other, and so is who is there.
  await eventually("bob is seen typing", async () => {
    await the.field(bob).pressSequentially("x");
    return (await ann.getByTestId("typing").textContent()) === "bob is typing…";
  });
  await ann.getByRole("button", { name: "Details and members" }).click();
  await ann.locator("[data-user]").filter({ hasText: "@bob" }).filter({ hasText: "Online" }).waitFor();

  // A direct message, found by name.
  await bob.getByRole("button", { name: "New direct message" }).click();
  await the.dialog(bob).getByRole("searchbox").fill("an");
  await the.dialog(bob).getByRole("button", { name: /Ann/ }).click();
  // The room that was open before goes a moment after the dialog.
  await bob.getByRole("heading", { level: 1, name: "Ann" }).waitFor();
  await opened(bob);
  await say(bob, "Only for you");
  await the.room(ann, "bob").click();
  await saidOnce([ann, bob], "Only for you");

  await anns.close();
  await bobs.close();
});

test("a message is in its place before the server has answered", async () => {
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signUp(page, "carol");
  await makeRoom(page, "Quick");
  await say(page, "first");
  await sees(page, "first");
  // How long the row takes, measured in the page itself: from the key to the row.
  const took = await the.field(page).evaluate(async (field) => {
    const timeline = document.querySelector("[data-testid=timeline]");
    const there = new Promise((done) => {
      new MutationObserver(() => {
        if (timeline.textContent.includes("at once")) done(performance.now());
      }).observe(timeline, { childList: true, subtree: true, characterData: true });
    });
    const write = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set;
    write.call(field, "at once");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    await new Promise((done) => requestAnimationFrame(done));
    const pressed = performance.now();
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
    return (await there) - pressed;
  });
  console.log(`from the key to the row: ${took.toFixed(1)} ms`);
  await sees(page, "at once");
  assert.deepEqual((await shown(page)).map((row) => row.text), ["first", "at once"]);
  await device.close();
});
