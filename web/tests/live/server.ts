// The real server and Node's own sockets as the world of a browser in memory. CAUSERIE_BIN names the binary.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import type { Transport } from "@/client";
import type { World } from "../support/browser";

export const binary = process.env["CAUSERIE_BIN"];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export class Server {
  readonly #data = mkdtempSync(join(tmpdir(), "causerie-web-"));
  #port = 0;
  #admin = 0;
  #process: ChildProcess | null = null;
  output = "";

  get origin(): string {
    return `https://localhost:${this.#port}`;
  }

  async start(): Promise<void> {
    this.#port ||= await freePort();
    this.#admin ||= await freePort();
    if (!binary) throw new Error("CAUSERIE_BIN is not set");
    const args = ["serve", "--listen", `127.0.0.1:${this.#port}`, "--admin-listen", `127.0.0.1:${this.#admin}`];
    const child = spawn(binary, [...args, "--data-dir", this.#data, "--shards", "1"], { cwd: this.#data });
    this.#process = child;
    child.stdout.on("data", (bytes: Buffer) => (this.output += bytes.toString()));
    child.stderr.on("data", (bytes: Buffer) => (this.output += bytes.toString()));
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the server ended: ${this.output}`);
      try {
        const ready = await call(`${this.origin}/readyz`, {});
        if (ready.ok) return;
      } catch {
        await new Promise((done) => setTimeout(done, 100));
      }
    }
  }

  /** SIGKILL, as when the machine dies; or an orderly end. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child?.exitCode === null) {
      const gone = new Promise((done) => child.once("exit", done));
      child.kill(signal);
      await gone;
    }
  }

  async remove(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.#data, { recursive: true, force: true });
  }

  /** A browser's world with its own cookies. */
  world(): World {
    let cookie = "";
    return {
      origin: this.origin,
      now: () => Date.now(),
      after: (ms, task) => {
        const timer = setTimeout(task, ms);
        return () => clearTimeout(timer);
      },
      random: () => Math.random(),
      transport,
      fetch: async (url, init) => {
        const headers = {
          ...(init.headers as Record<string, string>),
          origin: this.origin,
          ...(cookie ? { cookie } : {}),
        };
        const response = await call(url, { ...init, headers });
        for (const line of response.headers.getSetCookie()) {
          cookie = line.split(";")[0] ?? "";
        }
        return response;
      },
    };
  }
}

function call(url: string, init: RequestInit): Promise<Response> {
  return new Promise((done, fail) => {
    const made = request(
      url,
      {
        method: init.method ?? "GET",
        headers: init.headers as Record<string, string>,
        rejectUnauthorized: false,
      },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.on("end", () => {
          const headers = new Headers();
          for (let n = 0; n < answer.rawHeaders.length; n += 2) {
            headers.append(answer.rawHeaders[n] ?? "", answer.rawHeaders[n + 1] ?? "");
          }
          const status = answer.statusCode ?? 500;
          done(new Response(status === 204 ? null : Buffer.concat(parts), { status, headers }));
        });
        answer.on("error", fail);
      },
    );
    made.on("error", fail);
    made.end(typeof init.body === "string" ? init.body : undefined);
  });
}

const transport: Transport = (url, callbacks) => {
  let over = false;
  const socket = new WebSocket(url, { rejectUnauthorized: false });
  socket.on("open", () => {
    if (!over) callbacks.onOpen();
  });
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    if (over) return;
    if (isBinary) callbacks.onBinary();
    else callbacks.onText(data.toString());
  });
  socket.on("error", () => undefined);
  socket.on("close", (code: number) => {
    if (over) return;
    over = true;
    callbacks.onClose(code);
  });
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: () => {
      over = true;
      socket.close(1000);
    },
  };
};
