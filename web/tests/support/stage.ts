// A stage for whole journeys: a fake server, a clock, browsers, and short words for what is looked at.

import { type State, selectTimeline, signIn } from "@/model";
import { FakeServer, type FakeUser } from "../fakeServer";
import { Browser, type Tab } from "./browser";
import { Clock, dice, settle } from "./clock";

export class Stage {
  readonly clock = new Clock();
  readonly server = new FakeServer(this.clock);
  readonly random: () => number;

  constructor(seed = 1) {
    this.random = dice(seed);
  }

  browser(): Browser {
    return new Browser({
      origin: this.server.origin,
      now: () => this.clock.now(),
      after: (ms, task) => this.clock.after(ms, task),
      random: this.random,
      transport: this.server.transport,
      fetch: this.server.fetcher(),
    });
  }

  /** A person signs in in a new browser. */
  async enter(user: FakeUser): Promise<Tab> {
    const tab = await this.browser().open();
    const done = tab.dispatch(signIn(user.shape.username, "password"));
    await this.pass(100);
    const result = await done;
    if (!result.ok) throw new Error(result.problem.code);
    await this.pass(100);
    return tab;
  }

  pass(ms: number): Promise<void> {
    return this.clock.pass(ms);
  }

  /** What a thunk answers, with the time that it needs. */
  async done<T>(promise: Promise<T>, ms = 200): Promise<T> {
    await this.pass(ms);
    return promise;
  }
}

export { settle };

/** The texts of a room's rows, from top to bottom; one that is not sent has its state behind it. */
export function lines(state: State, roomId: string): string[] {
  return selectTimeline(state, roomId).rows.flatMap((row) => {
    if (row.kind !== "message") return [];
    const { content, state: sent } = row.message;
    const text = content === null ? "(gone)" : content.kind === "text" ? content.text : "(unreadable)";
    return [sent === "sent" ? text : `${text} [${sent}]`];
  });
}
