// The REST half of the fake server: sign-in with rotating refresh tokens, and what the model asks for.

import { isObject, type JsonObject, parseJson } from "@/protocol";
import type { FakeServer, FakeUser } from "./fakeServer";

const json = (status: number, body: unknown): Response =>
  status === 204 ? new Response(null, { status }) : new Response(JSON.stringify(body), { status });
const problem = (status: number, code: string): Response =>
  json(status, { type: `/api/problems#${code}`, title: code, status, detail: code, code, advice: "" });

/** Answers one call. `cookies` is the jar of the browser that makes it. */
export function answerRest(server: FakeServer, cookies: { refresh: string }, url: string, init: RequestInit): Response {
  const { pathname, searchParams } = new URL(url);
  const parsed = typeof init.body === "string" ? parseJson(init.body) : {};
  const body: JsonObject = isObject(parsed) ? parsed : {};
  const path = pathname.replace("/api/v1/", "");
  const call = `${init.method ?? "GET"} ${path}`;
  const signedIn = (user: FakeUser, sessionId: string, deviceId: string): Response => {
    const refresh = server.id(5);
    const previous = user.sessions.get(sessionId)?.refresh ?? "";
    user.sessions.set(sessionId, { refresh, previous, ended: false, deviceId });
    server.refreshes += 1;
    cookies.refresh = refresh;
    return json(200, {
      access_token: server.issue(user, sessionId),
      expires_in: server.tokenMs / 1000,
      user: user.shape,
      device_id: deviceId,
      session_id: sessionId,
    });
  };
  switch (call) {
    case "POST auth/signup": {
      const name = String(body["username"]);
      if ([...server.users.values()].some(({ shape }) => shape.username === name)) return problem(409, "name_taken");
      return signedIn(server.addUser(name, String(body["password"])), server.id(4), server.id(3));
    }
    case "POST auth/login": {
      const user = [...server.users.values()].find(({ shape }) => shape.username === body["username"]);
      if (!user || user.password !== body["password"]) return problem(401, "bad_credentials");
      const device = body["device_id"];
      return signedIn(user, server.id(4), typeof device === "string" ? device : server.id(3));
    }
    case "POST auth/refresh": {
      const { refresh } = cookies;
      for (const user of server.users.values()) {
        for (const [id, session] of user.sessions) {
          if (session.previous === refresh && refresh !== "") {
            // Two people hold it.
            server.endSession(user, id);
            return problem(401, "session_ended");
          }
          if (session.refresh === refresh) {
            return session.ended ? problem(401, "session_ended") : signedIn(user, id, session.deviceId);
          }
        }
      }
      return problem(401, "not_authenticated");
    }
    default:
      break;
  }
  const bearer = new Headers(init.headers).get("authorization")?.replace("Bearer ", "") ?? "";
  const holder = server.holder(bearer);
  if (holder === null || typeof holder === "string") return problem(401, holder ?? "not_authenticated");
  const { user, sessionId } = holder;
  const [, , roomId = ""] = path.split("/");
  const room = server.rooms.get(roomId);
  if (call === "POST auth/logout") {
    server.endSession(user, sessionId);
    cookies.refresh = "";
    return json(204, null);
  }
  if (path.startsWith("users/")) {
    const other = server.users.get(path.slice("users/".length));
    return other ? json(200, { ...other.shape, status: "online" }) : problem(404, "user_not_found");
  }
  if (room && path.endsWith("/participants")) {
    const participants = [...room.members].map(([user_id, { role }]) => {
      const shape = server.users.get(user_id)?.shape;
      return {
        user_id,
        username: shape?.username ?? "",
        display_name: shape?.display_name ?? "",
        role,
        status: "online",
      };
    });
    return json(200, { participants, total: participants.length });
  }
  if (room && call === `POST chat/rooms/${roomId}/join`) {
    server.join(room, user);
    return json(200, room.shape(user.shape.user_id));
  }
  if (path === `chat/rooms/${roomId}`) {
    return room?.members.has(user.shape.user_id)
      ? json(200, room.shape(user.shape.user_id))
      : problem(404, "room_not_found");
  }
  if (call === "GET chat/rooms") {
    return json(200, {
      rooms: [...server.rooms.values()].map((one) => ({ ...one.shape(user.shape.user_id) })),
      page: searchParams.get("cursor"),
    });
  }
  return problem(404, "not_found");
}
