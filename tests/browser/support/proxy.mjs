// A network that can be cut: TCP in the middle between browser and server. It understands nothing of what passes.

import { connect, createServer } from "node:net";
import { freePort } from "./server.mjs";

export class Proxy {
  #pairs = new Set();
  #server;
  #whole = true;
  cuts = 0;

  static async before(server) {
    const proxy = new Proxy();
    proxy.port = await freePort();
    proxy.#server = createServer((near) => proxy.#pass(near, server.port));
    await new Promise((done) => proxy.#server.listen(proxy.port, "127.0.0.1", done));
    return proxy;
  }

  get origin() {
    return `https://localhost:${this.port}`;
  }

  #pass(near, port) {
    if (!this.#whole) {
      near.destroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    const pair = { near, far };
    this.#pairs.add(pair);
    const over = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const side of [near, far]) {
      side.setNoDelay(true);
      side.on("error", over);
      side.on("close", over);
    }
    near.pipe(far);
    far.pipe(near);
  }

  /** Breaks all that is open, as a lost network does: with a reset, in the middle of whatever is under way. New connections pass. */
  cut() {
    this.cuts += 1;
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
    this.#pairs.clear();
  }

  /** Cuts, and lets nothing through until `mend`. */
  part() {
    this.#whole = false;
    this.cut();
  }

  /** How many connections stand. */
  get open() {
    return this.#pairs.size;
  }

  mend() {
    this.#whole = true;
  }

  close() {
    this.cut();
    return new Promise((done) => this.#server.close(done));
  }
}
