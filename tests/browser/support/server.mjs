// A real server in a process of its own: a free port, a data folder of its own, and what a test does to it (kill, start again, drain).

import { spawn } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, closeSync } from "node:fs";
import { request, Agent } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./wait.mjs";

const BINARY = process.env.CAUSERIE_BIN ?? new URL("../../../target/debug/causerie", import.meta.url).pathname;

/** Servers that run: none of them outlives this process, however it ends. */
const alive = new Set();
process.once("exit", () => {
  for (const server of alive) server.abandon();
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** A port below those that the kernel gives to outgoing connections, so that it is still free after a restart. */
export async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const free = await new Promise((done) => {
      const probe = createServer();
      probe.once("error", () => done(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
}

/** Where a test is to keep everything in a database: its node, and a keyspace for the one server that the test starts (tests/browser.rs). */
const { TEST_NODES, TEST_KEYSPACE } = process.env;
const ON_SCYLLA = {
  "store.kind": "scylla",
  "store.scylla.nodes": TEST_NODES,
  "store.scylla.keyspace": TEST_KEYSPACE,
  "store.scylla.replication": 1,
  // Others use the same two cores: a slow answer is no fault here.
  "store.scylla.request_timeout_ms": 20_000,
  "store.scylla.give_up_ms": 40_000,
  "store.scylla.lease_ms": 40_000,
};

/** One key of the configuration as its environment variable. */
const variable = (key) => `CAUSERIE_${key.replaceAll(".", "__").toUpperCase()}`;

export class Server {
  #settings;
  #child = null;
  #folder = mkdtempSync(join(tmpdir(), "causerie-browser-"));
  #starts = 0;
  #agent = new Agent({ keepAlive: true, maxSockets: 16, rejectUnauthorized: false });

  /** The last lines that each server which runs wrote to its log. */
  static logs(lines) {
    return [...alive].map((server) => `log of ${server.origin}\n${server.log.trimEnd().split("\n").slice(-lines).join("\n")}`);
  }

  /** Starts one. `settings`: keys of the configuration, such as "auth.access_token_seconds". */
  static async start(settings = {}) {
    const server = new Server(settings);
    server.port = await freePort();
    server.operators = await freePort();
    await server.up();
    return server;
  }

  constructor(settings) {
    this.#settings = { "store.cache_bytes": 16_777_216, ...(TEST_NODES ? ON_SCYLLA : {}), ...settings };
  }

  get origin() {
    return `https://localhost:${this.port}`;
  }

  get data() {
    return join(this.#folder, "data");
  }

  /** What it wrote to its log, of all starts. */
  get log() {
    const texts = readdirSync(this.#folder).filter((name) => name.endsWith(".log")).sort();
    return texts.map((name) => readFileSync(join(this.#folder, name), "utf8")).join("");
  }

  /** The hash of its public key, as Chromium takes it to trust a certificate that nobody signed. */
  get key() {
    const file = readdirSync(this.data, { recursive: true }).find((name) => /\.(pem|crt)$/.test(name) && this.#certificate(name));
    const certificate = new X509Certificate(readFileSync(join(this.data, file)));
    return createHash("sha256").update(certificate.publicKey.export({ type: "spki", format: "der" })).digest("base64");
  }

  #certificate(name) {
    return readFileSync(join(this.data, name), "utf8").includes("BEGIN CERTIFICATE");
  }

  /** Starts it (again), with the same data and port, and waits until it takes work. */
  async up(settings = {}) {
    Object.assign(this.#settings, settings);
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CAUSERIE_")));
    for (const [key, value] of Object.entries(this.#settings)) env[variable(key)] = String(value);
    const log = openSync(join(this.#folder, `server-${this.#starts++}.log`), "w");
    const flags = ["--listen", `127.0.0.1:${this.port}`, "--admin-listen", `127.0.0.1:${this.operators}`, ...(TEST_NODES ? ["--migrate"] : [])];
    alive.add(this);
    this.#child = spawn(BINARY, ["serve", ...flags, "--shards", "2", "--data-dir", this.data], {
      cwd: this.#folder,
      env,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    let ended = null;
    this.#child.once("error", (error) => (ended = error.message));
    this.#child.once("exit", (code, signal) => (ended = `${code ?? signal}`));
    await eventually("the server is ready", async () => {
      if (ended !== null) throw new Error(`the server ended at once (${ended}):\n${this.log}`);
      return existsSync(this.data) && (await this.call("GET", "/readyz").catch(() => null))?.status === 200;
    });
  }

  #end(signal) {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((done) => {
      child.once("exit", done);
      child.kill(signal);
    });
  }

  /** As a crash: SIGKILL. */
  kill() {
    return this.#end("SIGKILL");
  }

  /** As an administrator does it: SIGTERM, after which it drains. */
  drain() {
    return this.#end("SIGTERM");
  }

  /** The end in a hurry: nothing is waited for. */
  abandon() {
    this.#child?.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The end, with all of its data. */
  async remove() {
    await this.kill();
    alive.delete(this);
    this.#agent.destroy();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A request, without a browser. */
  call(method, path, { body, token, headers = {} } = {}) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const all = {
      ...(text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    };
    const options = { host: "127.0.0.1", port: this.port, method, path, headers: { host: `localhost:${this.port}`, ...all }, agent: this.#agent };
    return new Promise((done, failed) => {
      const asked = request(options, (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part));
        answer.on("error", failed);
        answer.on("end", () => {
          const bytes = Buffer.concat(parts);
          done({ status: answer.statusCode, headers: answer.headers, bytes, text: bytes.toString(), json: () => JSON.parse(bytes.toString()) });
        });
      });
      asked.on("error", failed);
      asked.end(text);
    });
  }
}
