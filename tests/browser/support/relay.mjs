// HTTPS in the middle, with the server's own certificate: passes everything on and may change a file on the way, as a newer version of the
// server would.

import { readFileSync } from "node:fs";
import { createServer, request } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { freePort } from "./server.mjs";

export class Relay {
  #server;
  /** Changes the body of an answer: `(path, text) => text`. */
  change = (_, text) => text;

  static async before(server) {
    const relay = new Relay();
    relay.port = await freePort();
    const key = readFileSync(join(server.data, "tls-key.pem"));
    const cert = readFileSync(join(server.data, "tls-cert.pem"));
    relay.#server = createServer({ key, cert }, (asked, answer) => {
      const { "accept-encoding": _, "if-none-match": __, ...headers } = asked.headers;
      const options = { host: "127.0.0.1", port: server.port, method: asked.method, path: asked.url, headers, rejectUnauthorized: false };
      const passed = request(options, (got) => {
        const parts = [];
        got.on("data", (part) => parts.push(part));
        got.on("end", () => {
          const body = Buffer.from(relay.change(asked.url, Buffer.concat(parts).toString("latin1")), "latin1");
          const { "transfer-encoding": _, etag: __, ...kept } = got.headers;
          answer.writeHead(got.statusCode, { ...kept, ...(got.statusCode === 204 ? {} : { "content-length": body.length }) });
          answer.end(body);
        });
      });
      passed.on("error", () => answer.destroy());
      asked.pipe(passed);
    });
    relay.#server.on("upgrade", (asked, near, head) => {
      const far = connect({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false }, () => {
        const lines = Object.entries(asked.headers).map(([name, value]) => `${name}: ${value}\r\n`);
        far.write(`GET ${asked.url} HTTP/1.1\r\n${lines.join("")}\r\n`);
        far.write(head);
        far.pipe(near).pipe(far);
      });
      for (const side of [near, far]) side.on("error", () => (near.destroy(), far.destroy()));
    });
    await new Promise((done) => relay.#server.listen(relay.port, "127.0.0.1", done));
    return relay;
  }

  get origin() {
    return `https://localhost:${this.port}`;
  }

  close() {
    this.#server.closeAllConnections();
    return new Promise((done) => this.#server.close(done));
  }
}
