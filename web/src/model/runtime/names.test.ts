import { expect, it } from "vitest";
import type { Rest } from "@/client";
import type { Person } from "../types";
import { Names } from "./names";

type Answer =
  | { ok: true; value: unknown }
  | { ok: false; refusal: { code: string; detail: string; retryAfterMs?: number } };

/** A server that answers as it is told, and a clock that is moved by hand. */
function stage() {
  const asked: string[] = [];
  const found: Person[] = [];
  const later: { ms: number; task: () => void }[] = [];
  let answer: (userId: string) => Answer = (userId) => ({
    ok: true,
    value: { user_id: userId, username: `name.${userId}`, display_name: userId, last_seen: null },
  });
  const names = new Names({
    rest: {
      call: ((_: string, { path }: { path: { user_id: string } }) => {
        asked.push(path.user_id);
        return Promise.resolve(answer(path.user_id));
      }) as unknown as Rest["call"],
    },
    after: (ms, task) => {
      later.push({ ms, task });
      return () => undefined;
    },
    known: (userId) => found.some((person) => person.userId === userId),
    found: (person) => found.push(person),
  });
  const settle = () => new Promise((done) => setTimeout(done, 0));
  return {
    names,
    asked,
    found,
    later,
    settle,
    answers: (next: typeof answer) => {
      answer = next;
    },
  };
}

it("asks for each once, and for nobody who is known", async () => {
  const { names, asked, found, settle } = stage();
  names.want(["a", "b", "a"]);
  await settle();
  names.want(["a", "b"]);
  await settle();
  expect(asked).toEqual(["a", "b"]);
  expect(found.map((person) => person.userId)).toEqual(["a", "b"]);
});

it("asks again when the server says, or after a while, and never for somebody who is not there", async () => {
  const { names, asked, found, later, settle, answers } = stage();
  const refuse = (code: string, retryAfterMs?: number): Answer => ({
    ok: false,
    refusal: { code, detail: "", ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  });
  answers((userId) => {
    if (userId === "gone") return refuse("user_not_found");
    return userId === "soon" ? refuse("rate_limited", 700) : refuse("network");
  });
  names.want(["gone", "soon", "off"]);
  await settle();
  expect(later.map(({ ms }) => ms)).toEqual([700, 5000]);
  answers((userId) => ({
    ok: true,
    value: { user_id: userId, username: userId, display_name: userId, last_seen: null },
  }));
  for (const { task } of later) task();
  await settle();
  expect(asked).toEqual(["gone", "soon", "off", "soon", "off"]);
  expect(found.map((person) => person.userId)).toEqual(["soon", "off"]);
});

it("asks nothing after it was stopped", async () => {
  const { names, asked, later, settle, answers } = stage();
  answers(() => ({ ok: false, refusal: { code: "network", detail: "" } }));
  names.want(["a"]);
  await settle();
  names.stop();
  for (const { task } of later) task();
  await settle();
  expect(asked).toEqual(["a"]);
});
