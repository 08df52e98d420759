// Who is signed in, and for how long: the cookie that no script sees, the refresh that nobody notices, and the ways in which it ends.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { inside, joinRoom, kept, makeRoom, opened, PASSWORD, say, saidOnce, sees, signIn, signUp, the } from "./support/app.mjs";
import { Device, launch } from "./support/browser.mjs";
import { Person } from "./support/people.mjs";
import { Server } from "./support/server.mjs";
import { test } from "./support/test.mjs";
import { eventually } from "./support/wait.mjs";

let server, browser;
before(async () => {
  // Tokens so short that several of them pass within a test.
  server = await Server.start({ "auth.access_token_seconds": 10 });
  browser = await launch(server);
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

/** The refresh token's cookie, as the browser keeps it. */
const cookieOf = async (device) => (await device.context.cookies()).find((cookie) => cookie.name === "__Host-causerie");

test("the session is a cookie that no script sees, and nothing else that lasts", async () => {
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signUp(page, "ann.cookie");
  const cookie = await cookieOf(device);
  assert.equal(cookie.secure && cookie.httpOnly, true);
  assert.deepEqual([cookie.sameSite, cookie.path, cookie.domain], ["Strict", "/", "localhost"]);
  assert.equal(await page.evaluate(() => document.cookie), "");
  // Neither the cookie's value nor an access token lies where a script of another day finds it.
  const left = await kept(page);
  assert.equal(left.includes(cookie.value), false);
  assert.equal(/eyJ[\w-]{10,}\.[\w-]{10,}\./.test(left), false, "a token is kept");

  await page.reload();
  await inside(page);
  // What was kept is shown before the server has answered.
  await eventually("a refresh gives a new one", async () => (await cookieOf(device)).value !== cookie.value);
  await device.close();
});

test("a page of another origin can use neither the cookie nor the socket", async () => {
  const device = await Device.open(browser, server.origin, { refusals: true });
  const own = await device.window();
  await signUp(own, "ann.origin");
  // Without its page nobody changes the cookie meanwhile.
  await own.close();
  const cookie = await cookieOf(device);
  const ask = (origin) =>
    server.call("POST", "/api/v1/auth/refresh", {
      body: { cookie: true },
      headers: { cookie: `__Host-causerie=${cookie.value}`, ...(origin === undefined ? {} : { origin }) },
    });
  for (const origin of ["https://evil.test", "null", `http://localhost:${server.port}`, undefined]) {
    const answer = await ask(origin);
    assert.deepEqual([answer.status, answer.json().code], [403, "bad_origin"], origin);
  }
  // The same from a real page: another port is another origin, with the same cookies.
  const other = await Server.start();
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await page.goto(`${other.origin}/api/`);
  const opened = await page.evaluate(
    (url) =>
      new Promise((done) => {
        try {
          const socket = new WebSocket(url);
          socket.onopen = () => done("open");
          socket.onerror = () => done("refused");
        } catch (error) {
          done(error.name);
        }
      }),
    `wss://localhost:${server.port}/ws/chat`,
  );
  assert.notEqual(opened, "open");
  await page.context().close();
  await other.remove();
  // And nothing of that ended the session.
  const good = await ask(server.origin);
  assert.equal(good.status, 200);
  await device.close();
});

test("tokens end and nobody notices, in two tabs at once", async () => {
  const device = await Device.open(browser, server.origin);
  const one = await device.window();
  await signUp(one, "ann.tabs");
  const room = await makeRoom(one, "Two tabs");
  const two = await device.window(`/r/${room}`);
  await opened(two);
  const said = [];
  for (const page of [one, two]) {
    await page.evaluate(() => {
      const banner = document.querySelector("[data-testid=connection]");
      new MutationObserver(() => (globalThis.banner = banner.textContent)).observe(banner, { childList: true, subtree: true });
    });
  }
  const first = (await cookieOf(device)).value;
  const seen = new Set([first]);
  // Until the cookie has changed several times, they go on talking.
  await eventually("three refreshes", async () => {
    const text = `turn ${said.length + 1}`;
    const page = said.length % 2 === 0 ? one : two;
    await say(page, text);
    said.push(text);
    await saidOnce([one, two], text);
    seen.add((await cookieOf(device)).value);
    return seen.size >= 3;
  });
  for (const page of [one, two]) {
    assert.equal(await page.evaluate(() => globalThis.banner), undefined, "a banner was shown");
    assert.equal(new URL(page.url()).pathname, `/r/${room}`);
  }
  await device.close();
});

test("an ended session, a removal and a draining server are told apart", async () => {
  const [anns, other, bobs] = [
    await Device.open(browser, server.origin, { refusals: true }),
    await Device.open(browser, server.origin, { refusals: true }),
    await Device.open(browser, server.origin, { refusals: true }),
  ];
  const [ann, second, bob] = [await anns.window(), await other.window(), await bobs.window()];
  await signUp(ann, "ann.ends");
  await makeRoom(ann, "Ends");
  await signIn(second, "ann.ends");
  await signUp(bob, "bob.ends");
  await joinRoom(bob, "Ends");

  // Bob is removed: he is told, stays signed in, and may come back since it is public.
  await ann.getByRole("button", { name: "Details and members" }).click();
  await ann.getByRole("button", { name: /^Actions for \P{L}*bob\.ends/u }).click();
  await ann.getByRole("menuitem", { name: "Remove from the room" }).click();
  await the.question(ann).getByRole("button", { name: "Remove from the room" }).click();
  await bob.getByRole("heading", { name: /You are no longer in/ }).waitFor();
  await bob.getByRole("button", { name: "To my conversations" }).click();
  await inside(bob);

  // Ann ends her other session from the settings: that window goes to the first page and says why.
  await ann.getByRole("button", { name: "Settings", exact: true }).click();
  await ann.getByRole("button", { name: /^End the session/ }).click();
  await the.question(ann).getByRole("button", { name: "End" }).click();
  await second.getByText("This session was ended, here or on another device.").waitFor();
  await inside(ann);

  // The server is restarted in order: nobody has to do anything.
  const gone = server.drain();
  await the.banner(bob).getByText("The server restarts.").waitFor();
  await gone;
  await server.up();
  await eventually("the banner is gone", async () => (await the.banner(bob).textContent()) === "");
  await joinRoom(bob, "Ends");
  await say(bob, "back again");
  await sees(bob, "back again");
  await anns.close();
  await other.close();
  await bobs.close();
});

test("signing out takes everything along", async () => {
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await signUp(page, "ann.out");
  await makeRoom(page, "Out");
  await say(page, "a secret of mine");
  await sees(page, "a secret of mine");
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await the.question(page).getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Welcome back" }).waitFor();
  assert.equal(await cookieOf(device), undefined);
  const left = await kept(page);
  assert.equal(left.includes("a secret of mine"), false);
  // Back in the history is not back in the room.
  await page.goBack();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await device.close();
});

test("a new password ends the other sessions and not this one", async () => {
  const [here, there] = [await Device.open(browser, server.origin), await Device.open(browser, server.origin, { refusals: true })];
  const [page, other] = [await here.window(), await there.window()];
  await signUp(page, "ann.password");
  await signIn(other, "ann.password");
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await page.getByLabel("Present password").fill(PASSWORD);
  await page.getByLabel("New password").fill("another long passphrase");
  await page.getByRole("button", { name: "Change password" }).click();
  await page.getByText("Your password was changed.").waitFor();
  await other.getByText("This session was ended, here or on another device.").waitFor();
  await page.reload();
  await inside(page);
  await signIn(other, "ann.password", "another long passphrase");
  await here.close();
  await there.close();
});

test("what the server refuses is said at its place", async () => {
  await Person.signUp(server, "taken.name");
  const device = await Device.open(browser, server.origin, { refusals: true });
  const page = await device.window("/signup");
  await page.getByLabel("Username", { exact: true }).fill("taken.name");
  await page.getByLabel("Password", { exact: true }).fill("short");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByText("Use at least 8 characters.").waitFor();
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  const field = page.getByLabel("Username", { exact: true });
  await eventually("the field is marked", async () => (await field.getAttribute("aria-invalid")) === "true");
  // The mark is drawn first, and the field is given the focus after that.
  await eventually("the field has the focus", () => field.evaluate((element) => element === document.activeElement));
  await page.goto("/signin");
  await page.getByLabel("Username", { exact: true }).fill("taken.name");
  await page.getByLabel("Password", { exact: true }).fill("not the right one");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
  await device.close();
});
