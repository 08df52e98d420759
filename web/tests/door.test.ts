// Signing up and in over a network that loses requests and answers: nobody is told that the name they just got is taken.

import { expect, it } from "vitest";
import { signIn, signUp } from "@/model";
import { Browser } from "./support/browser";
import { Stage } from "./support/stage";

type Fate = "well" | "request lost" | "answer lost";

/** Somebody at the door; `fates` says what becomes of the calls, one after the other. All after them go well. */
async function door(...fates: Fate[]) {
  const stage = new Stage();
  const { server, clock, random } = stage;
  const calls: string[] = [];
  const pass = server.fetcher();
  const browser = new Browser({
    origin: server.origin,
    now: () => clock.now(),
    after: (ms, task) => clock.after(ms, task),
    random,
    transport: server.transport,
    fetch: async (url, init) => {
      calls.push(url.slice(url.lastIndexOf("/") + 1));
      const fate = fates.shift() ?? "well";
      if (fate === "request lost") throw new TypeError("fetch failed");
      const answer = await pass(url, init);
      if (fate === "answer lost") throw new TypeError("fetch failed");
      return answer;
    },
  });
  const tab = await browser.open();
  const names = (): string[] => [...server.users.values()].map(({ shape }) => shape.username);
  const up = async (password = "a long enough passphrase"): Promise<string> => {
    const result = await stage.done(tab.dispatch(signUp({ username: "ann", password })), 3000);
    return result.ok ? result.value.username : result.problem.code;
  };
  return { stage, server, browser, tab, calls, names, up };
}

it("a request that was lost is made again", async () => {
  const { up, calls, names, tab } = await door("request lost");
  expect(await up()).toBe("ann");
  expect([calls, names(), tab.state.session.phase]).toEqual([["signup", "signup"], ["ann"], "signedIn"]);
});

it("who did not hear that the account was made is let in all the same", async () => {
  const { up, calls, names, tab } = await door("answer lost");
  expect(await up()).toBe("ann");
  expect([calls, names(), tab.state.session.phase]).toEqual([["signup", "signup", "login"], ["ann"], "signedIn"]);
});

it("also when nothing went through the second time, and the person tries again", async () => {
  const { up, calls, names } = await door("answer lost", "request lost");
  expect(await up()).toBe("network");
  expect(await up()).toBe("ann");
  expect([calls, names()]).toEqual([["signup", "signup", "signup", "login"], ["ann"]]);
});

it("a name that somebody else has is taken", async () => {
  const first = await door();
  first.server.addUser("ann");
  expect(await first.up()).toBe("name_taken");
  expect(first.calls).toEqual(["signup"]);
  const second = await door("request lost");
  second.server.addUser("ann");
  expect(await second.up()).toBe("name_taken");
  expect(second.tab.state.session.phase).toBe("signedOut");
});

it("without a network it is said at once", async () => {
  const { up, calls, browser } = await door("request lost");
  browser.network(false);
  expect(await up()).toBe("offline");
  expect(calls).toEqual(["signup"]);
});

it("signing in is tried again too, and a refusal is none that passes", async () => {
  const { stage, server, tab, calls } = await door("answer lost");
  server.addUser("ann");
  const enter = async (password: string) => {
    const result = await stage.done(tab.dispatch(signIn("ann", password)), 3000);
    return result.ok ? "in" : result.problem.code;
  };
  expect(await enter("wrong")).toBe("bad_credentials");
  expect(await enter("password")).toBe("in");
  expect(calls).toEqual(["login", "login", "login"]);
});
