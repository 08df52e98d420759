// What the server says with the page: who may keep what, what the page may do, and that the browser holds it to that.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { Device, launch } from "./support/browser.mjs";
import { Server } from "./support/server.mjs";
import { test } from "./support/test.mjs";

let server, browser;
before(async () => {
  server = await Server.start();
  browser = await launch(server);
});
after(async () => {
  await browser?.close();
  await server?.remove();
});

const PAGE = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };

test("every file comes in the form that is asked for, and is the same", async () => {
  const page = await server.call("GET", "/");
  const files = ["/", "/sw.js", ...[...page.text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path)];
  assert.ok(files.length > 4, files.join(" "));
  for (const path of files) {
    const plain = await server.call("GET", path);
    assert.equal(plain.status, 200, path);
    const forms = { br: brotliDecompressSync, gzip: gunzipSync };
    for (const [coding, open] of Object.entries(forms)) {
      const packed = await server.call("GET", path, { headers: { "accept-encoding": coding } });
      if (packed.headers["content-encoding"] === undefined) assert.ok(plain.bytes.length < 1000 || /image|font/.test(plain.headers["content-type"]), path);
      else assert.deepEqual(open(packed.bytes), plain.bytes, `${path} as ${coding}`);
      assert.equal(packed.headers.vary, "Accept-Encoding");
      const again = await server.call("GET", path, { headers: { "accept-encoding": coding, "if-none-match": packed.headers.etag } });
      assert.deepEqual([again.status, again.bytes.length], [304, 0], path);
      assert.equal(again.headers["content-security-policy"], packed.headers["content-security-policy"]);
    }
    const head = await server.call("HEAD", path);
    assert.deepEqual([head.status, head.bytes.length, head.headers["content-length"]], [200, 0, String(plain.bytes.length)], path);
    const named = path.startsWith("/assets/");
    assert.equal(plain.headers["cache-control"], named ? "public, max-age=31536000, immutable" : "no-cache", path);
  }
});

test("every answer carries the headers that keep the page to itself", async () => {
  for (const path of ["/", "/sw.js", "/no-such-thing", "/api/", "/api/v1/users/me", "/healthz"]) {
    const { headers } = await server.call("GET", path);
    assert.equal(headers["x-content-type-options"], "nosniff", path);
    assert.equal(headers["referrer-policy"], "no-referrer", path);
    assert.equal(headers["cross-origin-opener-policy"], "same-origin", path);
    assert.equal(headers["cross-origin-resource-policy"], "same-origin", path);
    assert.match(headers["permissions-policy"], /camera=\(\)/, path);
    assert.match(headers["strict-transport-security"], /max-age=\d{8}/, path);
    assert.match(headers["content-security-policy"], /^default-src 'none'.*frame-ancestors 'none'/, path);
    assert.doesNotMatch(headers["content-security-policy"], /unsafe|\*|https?:/, path);
  }
  const policy = (await server.call("GET", "/sw.js")).headers["content-security-policy"];
  assert.match(policy, /require-trusted-types-for 'script'; trusted-types causerie$/);
});

test("addresses of the app are its page, those of programs are not", async () => {
  const index = await server.call("GET", "/");
  for (const path of ["/r/018f3e1c-7c00-7000-8000-000000000001", "/settings", "/signup?invite=x", "/a/b/c.html"]) {
    const answer = await server.call("GET", path, { headers: PAGE });
    assert.deepEqual([answer.status, answer.text], [200, index.text], path);
  }
  for (const path of ["/api/v1/nothing", "/ws", "/socket.io/", "/healthz/x", "/assets/none.js"]) {
    const answer = await server.call("GET", path, { headers: PAGE });
    assert.deepEqual([answer.status, answer.headers["content-type"]], [404, "application/problem+json"], path);
  }
});

test("the browser holds the page to its policy", async () => {
  const device = await Device.open(browser, server.origin);
  const page = await device.window();
  await page.locator("#root").waitFor({ state: "attached" });
  assert.equal(device.violations.length, 0, device.violations.join("\n"));
  // What an injection would try, from inside the page. Each is stopped, and noted.
  const tries = {
    "an inline script": () => {
      const script = document.createElement("script");
      const blob = new Blob(["globalThis.broken = 1"], { type: "text/javascript" });
      try {
        script.src = URL.createObjectURL(blob);
      } catch {
        return;
      }
      document.body.append(script);
    },
    "markup from text": () => {
      try {
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='globalThis.broken = 2'>");
      } catch {
        // As it should be.
      }
    },
    "an attribute that is a script": () => {
      try {
        document.body.setAttribute("onclick", "globalThis.broken = 3");
        document.body.click();
      } catch {
        // As it should be.
      }
    },
    "a picture of another server": () => {
      document.body.append(Object.assign(new Image(), { src: "https://evil.test/x.png" }));
    },
    "a request to another server": () => {
      fetch("https://evil.test/").catch(() => {});
    },
    "a socket to another server": () => {
      try {
        new WebSocket("wss://evil.test/");
      } catch {
        // As it should be.
      }
    },
    "a worker from text": () => {
      try {
        new Worker(URL.createObjectURL(new Blob(["postMessage(1)"])));
      } catch {
        // As it should be.
      }
    },
    "a second policy": () => {
      try {
        globalThis.trustedTypes.createPolicy("mine", { createHTML: (text) => text });
      } catch {
        // As it should be.
      }
    },
    "a style from text": () => {
      document.head.append(Object.assign(document.createElement("style"), { textContent: "body { color: red }" }));
    },
    "another base": () => {
      document.head.append(Object.assign(document.createElement("base"), { href: "https://evil.test/" }));
    },
    "a form to another server": () => {
      const form = Object.assign(document.createElement("form"), { action: "https://evil.test/" });
      document.body.append(form);
      form.submit();
    },
  };
  for (const [what, attempt] of Object.entries(tries)) {
    const before = device.violations.length;
    await page.evaluate(attempt);
    for (let n = 0; n < 3000 && device.violations.length === before; n += 1) await page.evaluate(() => new Promise(requestAnimationFrame));
    assert.ok(device.violations.length > before, `${what} was not stopped`);
    assert.equal(await page.evaluate(() => globalThis.broken), undefined, what);
  }
  await device.context.close();
});

test("nobody else can put the page into a frame or read it", async () => {
  const other = await Server.start();
  const context = await browser.newContext({ ignoreHTTPSErrors: true, bypassCSP: true });
  const page = await context.newPage();
  await page.goto(`${other.origin}/api/`);
  const read = await page.evaluate(async (url) => {
    const frame = Object.assign(document.createElement("iframe"), { src: url });
    const loaded = new Promise((done) => (frame.onload = done));
    document.body.append(frame);
    await loaded;
    let inside = null;
    try {
      inside = frame.contentDocument?.body.textContent ?? null;
    } catch {
      // Of another origin.
    }
    const text = await fetch(url, { mode: "cors" }).then((answer) => answer.text(), () => null);
    return { inside, text };
  }, `${server.origin}/`);
  assert.deepEqual(read, { inside: null, text: null });
  const frames = page.frames().filter((frame) => frame !== page.mainFrame());
  for (const frame of frames) assert.equal(await frame.locator("#root").count().catch(() => 0), 0, "it is shown in a frame");
  await context.close();
  await other.remove();
});
