// Calls and tokens: what goes out, what every kind of answer becomes, and when a token is renewed.

import { expect, it } from "vitest";
import type { SignedIn } from "../protocol";
import { Rest } from "./rest";
import { type SharedToken, Tokens } from "./tokens";

const ROOM = "01935000-2222-7000-8000-000000000007";
const signedIn = (token: string, session = "01935000-0004-7000-8000-000000000001"): SignedIn => ({
  access_token: token,
  expires_in: 600,
  user: { user_id: "01935000-0001-7000-8000-000000000001", username: "alice", display_name: "Alice", admin: false },
  device_id: "01935000-0003-7000-8000-000000000001",
  session_id: session,
});

function bench(answers: readonly (Response | Error)[]) {
  const calls: { url: string; init: RequestInit }[] = [];
  const asked: boolean[] = [];
  const rest = new Rest({
    origin: "https://chat.test",
    fetch: (url, init) => {
      const answer = answers[calls.length];
      calls.push({ url, init });
      return answer instanceof Response ? Promise.resolve(answer) : Promise.reject(answer ?? new Error("no more"));
    },
    token: (fresh) => {
      asked.push(fresh);
      return Promise.resolve(fresh ? "new" : "old");
    },
  });
  return { rest, calls, asked };
}
const json = (status: number, body: unknown, headers: HeadersInit = {}): Response =>
  new Response(JSON.stringify(body), { status, headers });
const problem = (status: number, code: string, more: object = {}): Response =>
  json(status, { code, detail: "why", ...more });

it("fills in path, query, body and token", async () => {
  const { rest, calls } = bench([json(200, { rooms: [] }), new Response(null, { status: 204 })]);
  expect(await rest.call("list_rooms", { query: { limit: 5 } })).toEqual({ ok: true, value: { rooms: [] } });
  await rest.call("remove_participant", { path: { room_id: ROOM, user_id: "../me" } });
  expect(calls.map(({ url, init }) => [init.method, url])).toEqual([
    ["GET", "https://chat.test/api/v1/chat/rooms?limit=5"],
    ["DELETE", `https://chat.test/api/v1/chat/rooms/${ROOM}/participants/..%2Fme`],
  ]);
  expect(new Headers(calls[0]?.init.headers).get("authorization")).toBe("Bearer old");
});

it.each(["token_expired", "not_authenticated"])("%s: once more with a new token, and no more", async (code) => {
  const { rest, calls, asked } = bench([problem(401, code), problem(401, code), json(200, {})]);
  expect(await rest.call("get_me", {})).toMatchObject({ ok: false, refusal: { code } });
  expect(asked).toEqual([false, true]);
  expect(calls.length).toBe(2);
  expect(new Headers(calls[1]?.init.headers).get("authorization")).toBe("Bearer new");
});

it("a problem keeps its code, field and wait", async () => {
  const { rest } = bench([
    problem(422, "bad_name", { field: "name" }),
    problem(429, "rate_limited", { retry_after_ms: 700 }),
  ]);
  expect(await rest.call("get_me", {})).toEqual({
    ok: false,
    refusal: { code: "bad_name", detail: "why", field: "name" },
  });
  expect(await rest.call("get_me", {})).toMatchObject({ refusal: { code: "rate_limited", retryAfterMs: 700 } });
});

it("what is no problem+json is told apart by its status", async () => {
  const { rest } = bench([
    new Response("<html>Bad gateway</html>", { status: 502 }),
    new Response("?", { status: 418 }),
    problem(400, "a_code_of_tomorrow"),
    new TypeError("fetch failed"),
    json(200, { nonsense: true }),
    new Response("{", { status: 200 }),
  ]);
  const codes: string[] = [];
  for (let n = 0; n < 6; n += 1) {
    const answer = await rest.call("get_me", {});
    codes.push(answer.ok ? "ok" : answer.refusal.code);
  }
  expect(codes).toEqual(["busy", "unreadable", "a_code_of_tomorrow", "network", "unreadable", "unreadable"]);
});

function tokens(answers: (() => ReturnType<ConstructorParameters<typeof Tokens>[0]["refresh"]>)[]) {
  const clock = { now: 1000 };
  const told: SharedToken[] = [];
  let calls = 0;
  let chain: Promise<unknown> = Promise.resolve();
  const made = new Tokens({
    now: () => clock.now,
    refresh: () => (answers[calls++] ?? (() => Promise.reject(new Error("no more"))))(),
    alone: (task) => {
      const run = chain.then(task);
      chain = run.catch(() => undefined);
      return run;
    },
    tell: (token) => told.push(token),
  });
  return { made, clock, told, calls: () => calls };
}
const good = (token: string, session?: string) => () =>
  Promise.resolve({ ok: true, value: signedIn(token, session) } as const);
const bad = (code: string) => () => Promise.resolve({ ok: false, refusal: { code, detail: "" } } as const);

it("a token is used until shortly before its end, then renewed once for all who ask", async () => {
  const { made, clock, told, calls } = tokens([good("second"), good("third")]);
  made.set(signedIn("first"));
  expect(await made.get(false)).toEqual({ is: "token", token: "first" });
  clock.now += 590_000;
  const all = await Promise.all([made.get(false), made.get(false), made.get(true)]);
  expect(all).toEqual([1, 2, 3].map(() => ({ is: "token", token: "second" })));
  expect(calls()).toBe(1);
  expect(told.map(({ token }) => token)).toEqual(["second"]);
  expect(await made.get(true)).toEqual({ is: "token", token: "third" });
});

it("a token that another tab got while this one waited is taken", async () => {
  const { made, clock, calls } = tokens([]);
  made.set(signedIn("first"));
  const waiting = made.get(true);
  const { user, session_id: sessionId } = signedIn("");
  made.taken({ userId: user.user_id, sessionId, token: "theirs", until: clock.now + 700_000 });
  expect(await waiting).toEqual({ is: "token", token: "theirs" });
  expect(calls()).toBe(0);
});

it.each([
  ["session_ended", "ended"],
  ["not_authenticated", "ended"],
  ["suspended", "ended"],
  ["network", "later"],
  ["busy", "later"],
  ["draining", "later"],
])("%s: %s", async (code, is) => {
  const { made } = tokens([bad(code)]);
  made.set(signedIn("first"));
  expect(await made.get(true)).toMatchObject({ is, refusal: { code } });
});

it("a cookie that belongs to somebody else by now is not taken for one's own", async () => {
  const { made } = tokens([good("other", "01935000-0004-7000-8000-000000000099")]);
  made.set(signedIn("first"));
  expect(await made.get(true)).toEqual({ is: "other" });
});
