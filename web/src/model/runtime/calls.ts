// What is asked of the REST interface for a signed-in person: rooms, people, sessions. What comes of it is put into the state.

import type { Rest } from "@/client";
import type { RoomShape } from "@/protocol";
import type { NewRoom, RoomChange } from "../engine";
import type { State } from "../state";
import type { ListedRoom, Person, Problem, Result, Role, RoomId, UserId } from "../types";
import { toListed, toLogin, toMember, toPerson, toProblem } from "../wire";
import type { Batch } from "./batch";
import type { Environment } from "./environment";
import type { Run } from "./run";

/** The answer of a call, with another value. */
export type Answered<T> =
  | { readonly ok: true; readonly value: T }
  | Extract<Awaited<ReturnType<Rest["call"]>>, { readonly ok: false }>;

/** Why a call was refused. */
type Refused = Extract<Awaited<ReturnType<Rest["call"]>>, { readonly ok: false }>["refusal"];

export const OK: Result & { ok: true } = { ok: true, value: undefined };
export const NOT_NOW: Result<never> = { ok: false, problem: { code: "network", detail: "" } };

/** The half of the engine that asks by REST; `engine.ts` has the other. */
export abstract class Calls {
  protected abstract readonly env: Environment;
  protected abstract readonly rest: Rest;
  protected abstract readonly batch: Batch;
  protected abstract readonly newId: () => string;
  protected abstract state(): State;
  protected abstract run: Run | null;

  async changePassword(current: string, next: string): Promise<Result> {
    const body = { current_password: current, new_password: next };
    return this.#void(await this.rest.call("change_password", { body }));
  }

  async loadLogins(): Promise<Result> {
    this.batch.now({ do: "loginsLoading", loading: true, problem: null });
    const answer = await this.rest.call("list_sessions", {});
    if (!answer.ok) {
      const problem = this.problem(answer.refusal);
      this.batch.now({ do: "loginsLoading", loading: false, problem });
      return { ok: false, problem };
    }
    this.batch.now({ do: "logins", list: answer.value.sessions.map(toLogin) });
    return OK;
  }

  async endLogin(sessionId: string): Promise<Result> {
    const answer = await this.rest.call("end_session", { path: { session_id: sessionId } });
    if (!answer.ok && answer.refusal.code !== "not_found") {
      return this.no(answer.refusal);
    }
    const { list } = this.state().logins;
    this.batch.now({ do: "logins", list: list.filter((login) => login.sessionId !== sessionId) });
    return OK;
  }

  async createRoom({ type, name, description, members }: NewRoom): Promise<Result<RoomId>> {
    const body = {
      type,
      name,
      ...(description ? { description } : {}),
      ...(members && members.length > 0 ? { members } : {}),
    };
    return this.#entered(await this.rest.call("create_room", { body, key: this.newId() }));
  }

  async openDirect(userId: UserId): Promise<Result<RoomId>> {
    const found = Object.values(this.state().rooms.byId).find((room) => room.joined && room.peer === userId);
    if (found) {
      return { ok: true, value: found.roomId };
    }
    return this.#entered(await this.rest.call("create_room", { body: { type: "direct", members: [userId] } }));
  }

  async joinRoom(roomId: RoomId): Promise<Result<RoomId>> {
    const result = this.#entered(await this.rest.call("join_room", { path: { room_id: roomId } }));
    if (result.ok) {
      const { rooms, cursor } = this.state().directory;
      const list = rooms.map((room) =>
        room.roomId === roomId ? { ...room, joined: true, members: room.members + 1 } : room,
      );
      this.batch.now({ do: "directory", rooms: list, cursor, fresh: true });
    }
    return result;
  }

  async leaveRoom(roomId: RoomId): Promise<Result> {
    return this.#left(roomId, await this.rest.call("leave_room", { path: { room_id: roomId } }));
  }

  async deleteRoom(roomId: RoomId): Promise<Result> {
    return this.#left(roomId, await this.rest.call("delete_room", { path: { room_id: roomId } }));
  }

  async changeRoom(roomId: RoomId, { name, description, retentionDays }: RoomChange): Promise<Result> {
    const body = {
      ...(name === undefined ? {} : { name }),
      ...(description === undefined ? {} : { description }),
      ...(retentionDays === undefined ? {} : { retention_days: retentionDays }),
    };
    const result = this.#entered(await this.rest.call("change_room", { path: { room_id: roomId }, body }));
    return result.ok ? OK : result;
  }

  async lookAtRoom(roomId: RoomId): Promise<Result<ListedRoom>> {
    const result = await this.run?.lookups.room(roomId);
    return !result ? NOT_NOW : result.ok ? { ok: true, value: toListed(result.value) } : result;
  }

  async loadDirectory(more: boolean): Promise<Result> {
    const { directory } = this.state();
    if (directory.loading || (more && directory.cursor === null)) {
      return OK;
    }
    this.batch.now({ do: "directoryLoading", loading: true, problem: null });
    const query = more && directory.cursor !== null ? { limit: 100, cursor: directory.cursor } : { limit: 100 };
    const answer = await this.rest.call("list_rooms", { query });
    if (!answer.ok) {
      const problem = this.problem(answer.refusal);
      this.batch.now({ do: "directoryLoading", loading: false, problem });
      return { ok: false, problem };
    }
    const { rooms, cursor } = answer.value;
    const listed = rooms.filter((room) => room.type === "public").map(toListed);
    this.batch.now({ do: "directory", rooms: listed, cursor: cursor ?? null, fresh: !more });
    return OK;
  }

  #entered(answer: Answered<RoomShape>): Result<RoomId> {
    if (!answer.ok) {
      return this.no(answer.refusal);
    }
    this.run?.enter(answer.value);
    return { ok: true, value: answer.value.room_id };
  }

  #left(roomId: RoomId, answer: Answered<undefined>): Result {
    if (!answer.ok && answer.refusal.code !== "not_member" && answer.refusal.code !== "room_not_found") {
      return this.no(answer.refusal);
    }
    this.run?.forget(roomId);
    this.batch.flush();
    return OK;
  }

  async loadMembers(roomId: RoomId, more: boolean): Promise<Result> {
    const known = this.state().members[roomId];
    const cursor = more ? (known?.cursor ?? null) : null;
    if (known?.loading || (more && cursor === null)) {
      return OK;
    }
    this.batch.now({ do: "membersLoading", roomId, loading: true, problem: null });
    const query = cursor ? { limit: 100, cursor } : { limit: 100 };
    const answer = await this.rest.call("list_participants", { path: { room_id: roomId }, query });
    if (!answer.ok) {
      const problem = this.problem(answer.refusal);
      this.batch.now({ do: "membersLoading", roomId, loading: false, problem });
      return { ok: false, problem };
    }
    const { participants, total, cursor: next } = answer.value;
    this.batch.now({
      do: "members",
      roomId,
      members: participants.map(toMember),
      total,
      cursor: next ?? null,
      fresh: !more,
    });
    return OK;
  }

  async addMember(roomId: RoomId, userId: UserId, role?: Role): Promise<Result> {
    const body = { user_id: userId, ...(role ? { role } : {}) };
    return this.#void(await this.rest.call("add_participant", { path: { room_id: roomId }, body }));
  }

  async setRole(roomId: RoomId, userId: UserId, role: Role): Promise<Result> {
    const answer = await this.rest.call("set_role", { path: { room_id: roomId, user_id: userId }, body: { role } });
    if (answer.ok) {
      this.batch.now({ do: "role", roomId, userId, role });
    }
    return this.#void(answer);
  }

  async removeMember(roomId: RoomId, userId: UserId): Promise<Result> {
    return this.#void(await this.rest.call("remove_participant", { path: { room_id: roomId, user_id: userId } }));
  }

  async findPeople(query: string): Promise<Result<readonly Person[]>> {
    const answer = await this.rest.call("find_users", { query: { query, limit: 20 } });
    if (!answer.ok) {
      return this.no(answer.refusal);
    }
    const people = answer.value.users.map(toPerson);
    this.batch.add({ do: "people", people });
    return { ok: true, value: people };
  }

  async loadPerson(userId: UserId): Promise<Result<Person>> {
    const answer = await this.rest.call("get_user", { path: { user_id: userId } });
    if (!answer.ok) {
      return this.no(answer.refusal);
    }
    const person = toPerson(answer.value);
    this.batch.add(
      { do: "people", people: [person] },
      { do: "presence", users: { [userId]: answer.value.status }, roomId: null, online: null },
    );
    return { ok: true, value: person };
  }

  protected problem(refusal: Refused): Problem {
    const problem = toProblem(refusal, this.env.now());
    return problem.code === "network" && !this.env.page().online ? { ...problem, code: "offline" } : problem;
  }

  protected no(refusal: Refused): Result<never> {
    return { ok: false, problem: this.problem(refusal) };
  }

  #void(answer: Answered<unknown>): Result {
    return answer.ok ? OK : this.no(answer.refusal);
  }
}
