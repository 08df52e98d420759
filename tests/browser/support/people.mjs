// People without a browser, over REST: they fill rooms and lists before a test looks at them.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { PASSWORD } from "./app.mjs";

/** An id for a send (RFC 9562, version 7). */
export function uuidv7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export class Person {
  static async signUp(server, username, displayName) {
    const body = { username, password: PASSWORD, ...(displayName === undefined ? {} : { display_name: displayName }) };
    return Person.#of(server, await server.call("POST", "/api/v1/auth/signup", { body }));
  }

  static async signIn(server, username) {
    return Person.#of(server, await server.call("POST", "/api/v1/auth/login", { body: { username, password: PASSWORD } }));
  }

  static #of(server, answer) {
    assert.ok(answer.status === 200 || answer.status === 201, answer.text);
    const person = new Person();
    person.server = server;
    const { access_token, user } = answer.json();
    Object.assign(person, { token: access_token, id: user.user_id });
    return person;
  }

  async call(method, path, body, headers) {
    const answer = await this.server.call(method, `/api/v1/${path}`, { body, headers, token: this.token });
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
    return answer.status === 204 ? null : answer.json();
  }

  /** Makes a room; answers its id. */
  async room(name, type = "public", more = {}) {
    return (await this.call("POST", "chat/rooms", { name, type, ...more })).room_id;
  }

  join(room) {
    return this.call("POST", `chat/rooms/${room}/join`);
  }

  add(room, person, role) {
    return this.call("POST", `chat/rooms/${room}/participants`, { user_id: person.id, ...(role === undefined ? {} : { role }) });
  }

  say(room, content) {
    return this.call("POST", `chat/rooms/${room}/messages`, { content }, { "idempotency-key": uuidv7() });
  }

  /** Many messages, `wide` of them on the way at once; their order is that of the server. */
  async sayAll(room, contents, wide = 16) {
    const rest = contents.values();
    const one = async () => {
      for (const content of rest) await this.say(room, content);
    };
    await Promise.all(Array.from({ length: wide }, one));
  }

  /** The texts of all messages of a room, in order, as the server has them. */
  async said(room) {
    const all = [];
    let after = 0;
    for (;;) {
      const page = await this.call("GET", `chat/rooms/${room}/messages?after=${after}&limit=100`);
      for (const event of page.messages) {
        after = event.seq;
        if (event.type === "chat") all.push(event.content);
      }
      if (!page.more) return all;
    }
  }
}
