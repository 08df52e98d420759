// Drives the client of the protocol: gives it the socket's words and the time, carries out what it wants, and hands on what it tells.

import { type Answer, Client, type ClientEffect, type Renewed, type Socket } from "@/client";
import type { ClientFrame } from "@/protocol";
import type { Environment } from "./environment";

export interface DriverOptions {
  readonly env: Environment;
  readonly deviceId: string;
  readonly newId: () => string;
  readonly token: (fresh: boolean) => Promise<Renewed>;
  /** News, in order. Called with all that one step brought. */
  readonly onEffects: (effects: readonly ClientEffect[]) => void;
  /** After each step, whether it brought news or not. */
  readonly onSettled: () => void;
  readonly onEnded: (why: "session_ended" | "suspended" | "expired" | "other") => void;
}

export class Driver {
  readonly client: Client;
  readonly #options: DriverOptions;
  readonly #answers = new Map<string, (answer: Answer) => void>();
  #socket: { readonly number: number; readonly socket: Socket } | null = null;
  #disarm: () => void = () => undefined;
  #wanted: number | null = null;
  #over = false;
  #running = false;

  constructor(options: DriverOptions) {
    this.#options = options;
    const { deviceId, env, newId } = options;
    this.client = new Client({ deviceId, newId, random: () => env.random() });
  }

  start(): void {
    this.#do((now) => this.client.input({ kind: "start" }, now));
  }

  stop(): void {
    this.#do((now) => this.client.input({ kind: "stop" }, now));
    this.#over = true;
    this.#disarm();
  }

  /** Anything that the client is told or asked to do. */
  #do(task: (now: number) => void): void {
    if (this.#over) {
      return;
    }
    const now = this.#options.env.now();
    task(now);
    this.client.settle(now);
    this.#carryOut();
    this.#arm();
  }

  /** The same, for others: what they did is carried out after. */
  with(task: (client: Client, now: number) => void): void {
    this.#do((now) => task(this.client, now));
  }

  /** A request over the socket; `lost` when there is no connection. */
  request(frame: ClientFrame): Promise<Answer> {
    return new Promise((done) => {
      this.#do((now) => {
        const id = this.client.request(frame, now);
        if (id === null) {
          done({ is: "lost" });
        } else {
          this.#answers.set(id, done);
        }
      });
    });
  }

  #carryOut(): void {
    // What is told can lead to new wishes: they are carried out by this loop, in order, and not inside each other.
    if (this.#running) {
      return;
    }
    this.#running = true;
    try {
      for (let effects = this.client.effects(); effects.length > 0; effects = this.client.effects()) {
        const news: ClientEffect[] = [];
        for (const effect of effects) {
          switch (effect.do) {
            case "open":
              this.#open(effect.socket);
              break;
            case "close":
              if (this.#socket?.number === effect.socket) {
                this.#socket.socket.close();
                this.#socket = null;
              }
              break;
            case "write":
              if (this.#socket?.number === effect.socket) {
                this.#socket.socket.send(effect.text);
              }
              break;
            case "token":
              void this.#token(effect.fresh);
              break;
            case "answered":
              this.#answers.get(effect.id)?.(effect.answer);
              this.#answers.delete(effect.id);
              break;
            default:
              news.push(effect);
          }
        }
        if (news.length > 0) {
          this.#options.onEffects(news);
        }
      }
      this.#options.onSettled();
    } finally {
      this.#running = false;
    }
  }

  #open(number: number): void {
    this.#socket?.socket.close();
    const { transport, socketUrl } = this.#options.env;
    const input = (task: (now: number) => void): void => {
      if (this.#socket?.number === number || this.#socket === null) {
        this.#do(task);
      }
    };
    const socket = transport(socketUrl, {
      onOpen: () => input((now) => this.client.input({ kind: "opened", socket: number }, now)),
      onText: (text) => input((now) => this.client.frame(number, text, now)),
      onBinary: () => input((now) => this.client.input({ kind: "unanswered" }, now)),
      onClose: (code) =>
        input((now) => {
          if (this.#socket?.number === number) {
            this.#socket = null;
          }
          this.client.input({ kind: "closed", socket: number, code }, now);
        }),
    });
    this.#socket = { number, socket };
  }

  async #token(fresh: boolean): Promise<void> {
    const renewed = await this.#options.token(fresh);
    this.#do((now) => {
      switch (renewed.is) {
        case "token":
          this.client.token(renewed.token, now);
          break;
        case "later":
          this.client.input({ kind: "noToken", ended: null, waitMs: renewed.refusal.retryAfterMs ?? 0 }, now);
          break;
        case "other":
          this.client.input({ kind: "noToken", ended: "session_ended", waitMs: 0 }, now);
          break;
        case "ended": {
          const ended = renewed.refusal.code === "suspended" ? "suspended" : "session_ended";
          this.client.input({ kind: "noToken", ended, waitMs: 0 }, now);
        }
      }
    });
    if (renewed.is === "other") {
      this.#options.onEnded("other");
    } else if (renewed.is === "ended") {
      const { code } = renewed.refusal;
      this.#options.onEnded(code === "suspended" || code === "session_ended" ? code : "expired");
    }
  }

  #arm(): void {
    const { env } = this.#options;
    const now = env.now();
    const at = this.client.deadline(now);
    if (at === this.#wanted) {
      return;
    }
    this.#disarm();
    this.#wanted = at;
    this.#disarm =
      at === null
        ? () => undefined
        : env.after(Math.max(0, at - now), () => {
            this.#wanted = null;
            const late = env.now() - at;
            this.#do((time) => {
              // A timer that comes so late tells that the machine slept.
              if (late > SLEPT_MS) {
                this.client.input({ kind: "awake" }, time);
              }
              this.client.tick(time);
            });
          });
  }
}

const SLEPT_MS = 15_000;
