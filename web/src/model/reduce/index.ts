// The reducer: the state after changes. Pure; what did not change keeps its identity.

import type { UnknownAction } from "@reduxjs/toolkit";
import type { Change, RoomEvent } from "../changes";
import { initialState } from "../initial";
import type { Send, State } from "../state";
import type { Room, RoomId, UserId } from "../types";
import {
  addMembers,
  addPeople,
  addPresence,
  dropTyping,
  membersAfter,
  NO_LIST,
  nameMembers,
  setTyping,
  statusesOf,
  withRole,
} from "./people";
import { afterEvents, merge, newestPreview } from "./rooms";
import { append, fromPage, prepend, put, trim, without } from "./timelines";

/** The only action: changes, in order. */
export interface ChangesAction extends UnknownAction {
  readonly type: "model/changes";
  readonly payload: readonly Change[];
}

export const changes = (list: readonly Change[]): ChangesAction => ({ type: "model/changes", payload: list });

export function reducer(state: State = initialState, action: UnknownAction): State {
  return action.type === "model/changes" ? (action as ChangesAction).payload.reduce(apply, state) : state;
}

export function apply(state: State, change: Change): State {
  switch (change.do) {
    case "session": {
      const session = { ...state.session, ...change.session };
      const { me } = session;
      return me ? { ...state, session, people: addPeople(state.people, [me]) } : { ...state, session };
    }
    case "connection":
      return { ...state, connection: { ...state.connection, ...change.connection } };
    case "limits":
      return { ...state, limits: change.limits };
    case "storage":
      return { ...state, storage: change.storage };
    case "reset":
      return {
        ...initialState,
        session: { ...initialState.session, phase: "signedOut", ended: change.ended },
        settings: state.settings,
        storage: state.storage,
        view: { ...state.view, roomId: null, line: null },
      };
    case "restored":
      return {
        ...state,
        rooms: {
          byId: { ...byRoom(change.rooms), ...state.rooms.byId },
          loaded: state.rooms.loaded || change.rooms.length > 0,
        },
        people: addPeople(state.people, change.people),
        timelines: {
          ...Object.fromEntries(change.pages.map((page) => [page.roomId, fromPage(page, page.lost)])),
          ...state.timelines,
        },
        drafts: { ...change.drafts, ...state.drafts },
      };
    case "rooms":
      return withRooms(state, change.rooms);
    case "roomsWhole": {
      const mine = new Set(change.roomIds);
      const gone = Object.keys(state.rooms.byId).filter((roomId) => !mine.has(roomId));
      const left = gone.reduce(forget, state);
      return left.rooms.loaded ? left : { ...left, rooms: { ...left.rooms, loaded: true } };
    }
    case "roomGone":
      return forget(state, change.roomId);
    case "events":
      return withEvents(state, change);
    case "newest": {
      const { page } = change;
      const timeline = fromPage(page, change.lost);
      const next = { ...state, timelines: put(state.timelines, page.roomId, timeline) };
      return matched(withPreview(next, page.roomId), page.roomId, page.events);
    }
    case "older": {
      const { page } = change;
      const next = {
        ...state,
        timelines: put(state.timelines, page.roomId, prepend(state.timelines[page.roomId], page)),
      };
      return state.rooms.byId[page.roomId]?.preview ? next : withPreview(next, page.roomId);
    }
    case "loading": {
      const timeline = state.timelines[change.roomId];
      const { loading, problem } = change;
      return timeline
        ? { ...state, timelines: put(state.timelines, change.roomId, { ...timeline, loading, problem }) }
        : state;
    }
    case "read": {
      const room = state.rooms.byId[change.roomId];
      return room && room.readNumber < change.number ? setRoom(state, { ...room, readNumber: change.number }) : state;
    }
    case "view": {
      const { roomId: left } = state.view;
      const next = { ...state, view: { ...state.view, ...change.view } };
      const timeline = left === null || next.view.roomId === left ? undefined : state.timelines[left];
      return left !== null && timeline ? { ...next, timelines: put(next.timelines, left, trim(timeline)) } : next;
    }
    case "people":
      return {
        ...state,
        people: addPeople(state.people, change.people),
        members: nameMembers(state.members, change.people),
      };
    case "presence": {
      const presence = addPresence(state.presence, change);
      return presence === state.presence ? state : { ...state, presence };
    }
    case "presenceUnknown":
      return { ...state, presence: initialState.presence, typing: initialState.typing };
    case "membersLoading": {
      const list = state.members[change.roomId] ?? NO_LIST;
      const { loading, problem } = change;
      return { ...state, members: { ...state.members, [change.roomId]: { ...list, loading, problem } } };
    }
    case "members": {
      const list = addMembers(state.members[change.roomId], change);
      const users = statusesOf(change.members, state.presence);
      return {
        ...state,
        members: { ...state.members, [change.roomId]: list },
        presence: addPresence(state.presence, { do: "presence", users, roomId: null, online: null }),
        people: addPeople(
          state.people,
          change.members.map(({ userId, username, displayName }) => ({
            admin: false,
            ...state.people[userId],
            userId,
            username,
            displayName,
          })),
        ),
      };
    }
    case "role": {
      const list = state.members[change.roomId];
      return list
        ? { ...state, members: { ...state.members, [change.roomId]: withRole(list, change.userId, change.role) } }
        : state;
    }
    case "typing": {
      const typing = setTyping(state.typing, change.roomId, change.userId, change.until);
      return typing === state.typing ? state : { ...state, typing };
    }
    case "typingOver": {
      const typing = dropTyping(state.typing, (_room, _user, until) => until > change.now);
      return typing === state.typing ? state : { ...state, typing };
    }
    case "draft":
      return {
        ...state,
        drafts:
          change.text === "" ? without(state.drafts, change.roomId) : { ...state.drafts, [change.roomId]: change.text },
      };
    case "sends":
      return { ...state, outbox: { ...state.outbox, sends: keepSends(state.outbox.sends, change.sends) } };
    case "directory": {
      const rooms = change.fresh ? change.rooms : [...state.directory.rooms, ...change.rooms];
      const { cursor } = change;
      return { ...state, directory: { rooms, loading: false, complete: cursor === null, problem: null, cursor } };
    }
    case "directoryLoading":
      return { ...state, directory: { ...state.directory, loading: change.loading, problem: change.problem } };
    case "logins":
      return { ...state, logins: { list: change.list, loading: false, problem: null } };
    case "loginsLoading":
      return { ...state, logins: { ...state.logins, loading: change.loading, problem: change.problem } };
    case "settings":
      return { ...state, settings: { ...state.settings, ...change.settings } };
  }
}

const byRoom = (rooms: readonly Room[]): Record<RoomId, Room> =>
  Object.fromEntries(rooms.map((room) => [room.roomId, room]));

function setRoom(state: State, room: Room): State {
  return state.rooms.byId[room.roomId] === room
    ? state
    : { ...state, rooms: { ...state.rooms, byId: { ...state.rooms.byId, [room.roomId]: room } } };
}

function withRooms(state: State, rooms: readonly Room[]): State {
  const fresh = rooms.map((told) => merge(state.rooms.byId[told.roomId], told));
  const changed = fresh.some((room) => state.rooms.byId[room.roomId] !== room);
  return changed ? { ...state, rooms: { ...state.rooms, byId: { ...state.rooms.byId, ...byRoom(fresh) } } } : state;
}

function withPreview(state: State, roomId: RoomId): State {
  const room = state.rooms.byId[roomId];
  const timeline = state.timelines[roomId];
  return room && timeline ? setRoom(state, { ...room, preview: newestPreview(timeline) }) : state;
}

function withEvents(state: State, change: Change & { do: "events" }): State {
  const { roomId, epoch, to, events } = change;
  const before = state.timelines[roomId];
  const grown = append(before, epoch, to, events);
  const timeline = state.view.roomId === roomId ? grown : trim(grown);
  const fresh = events.filter((event) => event.seq > (before?.to ?? 0));
  let next: State = { ...state, timelines: put(state.timelines, roomId, timeline) };
  const room = state.rooms.byId[roomId];
  if (room) {
    let after = afterEvents(room, fresh, state.session.me?.userId ?? null);
    if (fresh.some((event) => event.kind === "deletion")) {
      after = { ...after, preview: newestPreview(timeline) };
    }
    next = setRoom(next, after);
  }
  const list = state.members[roomId];
  if (list) {
    const after = membersAfter(list, fresh, state.people);
    next = after === list ? next : { ...next, members: { ...next.members, [roomId]: after } };
  }
  // Whoever speaks has stopped typing.
  for (const event of fresh) {
    if (event.kind === "message") {
      const typing = setTyping(next.typing, roomId, event.message.userId, null);
      next = typing === next.typing ? next : { ...next, typing };
    }
  }
  return matched(next, roomId, fresh);
}

/**
 * An own message that left before the connection broke may come back as an event before its ack does, without its id. Its text and
 * its place in the order tell: until the ack decides, it is shown once.
 */
function matched(state: State, roomId: RoomId, events: readonly RoomEvent[]): State {
  const me = state.session.me?.userId;
  let sends: Send[] | null = null;
  for (const event of events) {
    if (event.kind !== "message" || event.message.userId !== me) {
      continue;
    }
    const { message, seq } = event;
    const list: readonly Send[] = sends ?? state.outbox.sends;
    const index = list.findIndex(
      (send) =>
        send.roomId === roomId &&
        send.state === "sending" &&
        send.perhaps === null &&
        (send.id === message.key || (message.content?.kind === "text" && message.content.text === send.text)),
    );
    const send = list[index];
    if (send) {
      sends = [...list];
      sends[index] = { ...send, perhaps: seq };
    }
  }
  return sends ? { ...state, outbox: { ...state.outbox, sends } } : state;
}

/** The outbox as it is now; a send that says the same keeps its identity, and what it may be. */
function keepSends(known: readonly Send[], next: readonly Send[]): readonly Send[] {
  const before = new Map(known.map((send) => [send.id, send]));
  return next.map((send) => {
    const old = before.get(send.id);
    const perhaps = send.state === "failed" ? null : (old?.perhaps ?? null);
    const same = old?.state === send.state && old.problem === send.problem && old.perhaps === perhaps;
    return same ? old : { ...send, perhaps };
  });
}

/** Nothing of a room is kept but what one wrote and did not send. */
function forget(state: State, roomId: UserId): State {
  if (!state.rooms.byId[roomId] && !state.timelines[roomId]) {
    return state;
  }
  return {
    ...state,
    rooms: { ...state.rooms, byId: without(state.rooms.byId, roomId) },
    timelines: without(state.timelines, roomId),
    members: without(state.members, roomId),
    typing: without(state.typing, roomId),
  };
}
