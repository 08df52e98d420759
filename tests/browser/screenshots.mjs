// Pictures of every page and state at 320, 768 and 1280 px, light and dark, in target/screenshots: for people to look at. `make screenshots`;
// names of states choose some of them: `node tests/browser/screenshots.mjs room settings`.

import { mkdirSync } from "node:fs";
import { Device, launch } from "./support/browser.mjs";
import { Server } from "./support/server.mjs";
import { STATES, world } from "./support/states.mjs";

const FOLDER = new URL("../../target/screenshots/", import.meta.url).pathname;
const SIZES = [
  [320, 640],
  [768, 1024],
  [1280, 800],
];

const wanted = process.argv.slice(2);
mkdirSync(FOLDER, { recursive: true });
const server = await Server.start();
const browser = await launch(server);
let failed = 0;
try {
  const all = await world(server);
  for (const [name, state] of Object.entries(STATES)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    for (const [width, height] of SIZES) {
      for (const colorScheme of ["light", "dark"]) {
        const device = await Device.open(browser, server.origin, { network: true, viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
        device.context.setDefaultTimeout(20_000);
        try {
          const page = await device.window("/signin");
          await state(page, all, device);
          await page.evaluate(() => document.fonts.ready.then(() => true));
          await page.screenshot({ path: `${FOLDER}${name}-${width}-${colorScheme}.png` });
        } catch (error) {
          failed += 1;
          console.error(`${name} at ${width}, ${colorScheme}: ${error.message.split("\n")[0]}`);
        }
        await device.context.close();
      }
    }
  }
} finally {
  await browser.close();
  await server.remove();
}
console.log(`${FOLDER}`);
process.exitCode = failed > 0 ? 1 : 0;
