// A test whose failure tells what could be seen then: each window's address and text, what the browser complained of, which requests
// were on the way, the end of each server's log. Without that a wait that ran out says only what never came.

import { test as plain } from "node:test";
import { Device } from "./browser.mjs";
import { Server } from "./server.mjs";

/** As `test` of node:test. */
export function test(name, run) {
  return plain(name, async (context) => {
    try {
      await run(context);
    } catch (error) {
      console.error(`--- what there was when "${name}" failed\n${await scene().catch((why) => `it could not be told: ${why}`)}\n---`);
      throw error;
    }
  });
}

async function scene() {
  return [...(await Device.scenes()), ...Server.logs(30)].join("\n");
}
