// Chromium, and people in front of it. Whatever a page does that no page of ours may do is noted and fails the test at its end: an error
// on the console, an exception, a dialog of the browser, something that the Content Security Policy had to stop.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { WATCHDOG } from "./wait.mjs";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const switches = (...servers) => [
  `--ignore-certificate-errors-spki-list=${servers.map((server) => server.key).join(",")}`,
  ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  "--disable-dev-shm-usage",
];

/** A browser that trusts the certificates of these servers, and of no other. */
export function launch(...servers) {
  return chromium.launch({ executablePath: CHROMIUM, args: switches(...servers) });
}

/** What the browser says itself when the network is gone or the server refuses: expected where a test does that. */
const NETWORK = [/Failed to load resource/, /WebSocket connection to .* failed/, /net::ERR_/];

/** How much of what a device did is remembered for the report of a failure. */
const REMEMBERED = 60;

/** A device: a browser profile of its own, watched. */
export class Device {
  static #open = new Set();
  violations = [];
  #allowed = [];
  #story = [];
  #born = Date.now();

  /** `options` are those of a Playwright context; `network: true` allows the browser's own complaints about a lost network. */
  static async open(browser, origin, { network = false, refusals = false, ...options } = {}) {
    const device = new Device();
    Device.#open.add(device);
    device.origin = origin;
    if (network || refusals) device.#allowed.push(...NETWORK);
    device.context = await browser.newContext({ baseURL: origin, locale: "en-GB", timezoneId: "Europe/Paris", ...options });
    device.context.setDefaultTimeout(WATCHDOG);
    await device.context.exposeBinding("__violation", (_, text) => device.violations.push(`policy: ${text}`));
    await device.context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        globalThis.__violation(`${event.effectiveDirective} stopped ${event.blockedURI} ${event.sample} at ${event.sourceFile}:${event.lineNumber}`);
      });
      // What the payloads of the tests would call.
      for (const name of ["alert", "confirm", "prompt", "print"]) {
        globalThis[name] = () => globalThis.__violation(`${name} was called`);
      }
    });
    device.context.on("page", (page) => device.#watch(page));
    device.context.on("serviceworker", (worker) => worker.on?.("console", (message) => device.#console(message)));
    return device;
  }

  /** What each device that is open shows now and did of late, for the report of a failure; told once. */
  static async scenes() {
    const scenes = await Promise.all([...Device.#open].map((device) => device.#scene()));
    Device.#open.clear();
    return scenes;
  }

  async #scene() {
    const windows = this.context.pages().map(async (page) => {
      const text = await page.locator("body").ariaSnapshot({ timeout: 5000 }).catch((error) => `it does not answer: ${error.message}`);
      return `window ${page.url()}\n${text}`;
    });
    return [...(await Promise.all(windows)), ...this.violations.map((text) => `violation: ${text}`), ...this.#story].join("\n");
  }

  #note(text) {
    this.#story.push(`${((Date.now() - this.#born) / 1000).toFixed(1)} s  ${text}`);
    if (this.#story.length > REMEMBERED) this.#story.shift();
  }

  #console(message) {
    const text = message.text();
    this.#note(`console: ${text}`);
    const bad = message.type() === "error" || /Content Security Policy|Trusted ?Type|Permissions-Policy/i.test(text);
    if (bad && !this.#allowed.some((known) => known.test(text))) this.violations.push(`console: ${text} (${message.location().url})`);
  }

  #watch(page) {
    page.on("console", (message) => this.#console(message));
    page.on("pageerror", (error) => this.violations.push(`exception: ${error.stack ?? error.message}`));
    page.on("crash", () => this.violations.push("the page crashed"));
    page.on("dialog", (dialog) => {
      this.violations.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("framenavigated", (frame) => this.#note(`at ${frame.url()}`));
    page.on("request", (request) => this.#note(`${request.method()} ${request.url()}`));
    page.on("response", (response) => this.#note(`${response.status()} of ${response.url()}`));
    page.on("requestfailed", (request) => this.#note(`${request.failure()?.errorText} of ${request.url()}`));
    page.on("websocket", (socket) => {
      this.#note("socket opens");
      socket.on("framesent", ({ payload }) => this.#note(`sent ${String(payload).slice(0, 60)}`));
      socket.on("framereceived", ({ payload }) => this.#note(`got ${String(payload).slice(0, 60)}`));
      socket.on("socketerror", (error) => this.#note(`socket: ${error}`));
      socket.on("close", () => this.#note("socket closed"));
    });
  }

  /** A window. */
  async window(path = "/") {
    const page = await this.context.newPage();
    await page.goto(path);
    return page;
  }

  /** All was as it should be until now. */
  clean() {
    assert.deepEqual(this.violations, []);
  }

  async close() {
    await this.context.close();
    Device.#open.delete(this);
    this.clean();
  }
}

/** A browser whose own profile lies in this folder, and that another program may control through this port. */
export function persistent(folder, server, port) {
  return chromium.launchPersistentContext(folder, {
    executablePath: CHROMIUM,
    baseURL: server.origin,
    args: [...switches(server), `--remote-debugging-port=${port}`],
  });
}
