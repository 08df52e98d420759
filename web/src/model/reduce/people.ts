// People: who they are, who is there, who is in a room, who types.

import type { Change, RoomEvent } from "../changes";
import type { MemberList, State } from "../state";
import type { Member, Person, RoomId, Status, UserId } from "../types";

/** Adds people; those who say the same keep their identity. */
export function addPeople(known: State["people"], people: readonly Person[]): State["people"] {
  const fresh = people.filter((person) => {
    const before = known[person.userId];
    return (
      before?.username !== person.username ||
      before.displayName !== person.displayName ||
      before.admin !== person.admin ||
      before.lastSeen !== person.lastSeen
    );
  });
  return fresh.length === 0 ? known : { ...known, ...Object.fromEntries(fresh.map((one) => [one.userId, one])) };
}

export function addPresence(known: State["presence"], change: Change & { do: "presence" }): State["presence"] {
  const changed = Object.entries(change.users).filter(([userId, status]) => known.users[userId] !== status);
  const users = changed.length === 0 ? known.users : { ...known.users, ...Object.fromEntries(changed) };
  const { roomId, online } = change;
  const counts =
    roomId === null || online === null || known.online[roomId] === online
      ? known.online
      : { ...known.online, [roomId]: online };
  return users === known.users && counts === known.online ? known : { users, online: counts };
}

export const NO_LIST: MemberList = {
  userIds: [],
  byId: {},
  total: 0,
  cursor: null,
  loading: false,
  complete: false,
  problem: null,
};

export function addMembers(known: MemberList | undefined, change: Change & { do: "members" }): MemberList {
  const base = change.fresh ? NO_LIST : (known ?? NO_LIST);
  const byId: Record<UserId, Member> = { ...base.byId };
  for (const member of change.members) {
    byId[member.userId] = member;
  }
  return {
    userIds: Object.keys(byId),
    byId,
    total: change.total,
    cursor: change.cursor,
    loading: false,
    complete: change.cursor === null,
    problem: null,
  };
}

/** Presence as the list of members told it; what came live since is newer. */
export function statusesOf(members: readonly Member[], known: State["presence"]): Readonly<Record<UserId, Status>> {
  return Object.fromEntries(
    members.filter(({ userId }) => known.users[userId] === undefined).map(({ userId, status }) => [userId, status]),
  );
}

/** Who came and went. Somebody who came and is not known yet is asked for by the engine, and comes as `members`. */
export function membersAfter(list: MemberList, events: readonly RoomEvent[], people: State["people"]): MemberList {
  let next = list;
  for (const event of events) {
    if (event.kind !== "notice") {
      continue;
    }
    const { what, subject, role } = event.notice;
    if (what === "joined" || what === "added") {
      const person = people[subject];
      const known = next.byId[subject] !== undefined;
      const member: Member = {
        userId: subject,
        username: person?.username ?? "",
        displayName: person?.displayName ?? "",
        role: role ?? "member",
        status: "offline",
      };
      next = {
        ...next,
        total: known ? next.total : next.total + 1,
        byId: { ...next.byId, [subject]: next.byId[subject] ?? member },
        userIds: known ? next.userIds : [...next.userIds, subject],
      };
    } else if ((what === "left" || what === "removed") && next.byId[subject]) {
      next = {
        ...next,
        total: Math.max(0, next.total - 1),
        byId: Object.fromEntries(Object.entries(next.byId).filter(([userId]) => userId !== subject)),
        userIds: next.userIds.filter((userId) => userId !== subject),
      };
    } else if (what === "role" && role) {
      next = withRole(next, subject, role);
    }
  }
  return next;
}

export function withRole(list: MemberList, userId: UserId, role: Member["role"]): MemberList {
  const member = list.byId[userId];
  return member ? { ...list, byId: { ...list.byId, [userId]: { ...member, role } } } : list;
}

/** Names that became known, in the lists where they were missing. */
export function nameMembers(members: State["members"], people: readonly Person[]): State["members"] {
  let next = members;
  for (const [roomId, list] of Object.entries(members)) {
    let { byId } = list;
    for (const { userId, username, displayName } of people) {
      const member = byId[userId];
      if (member && (member.username !== username || member.displayName !== displayName)) {
        byId = { ...byId, [userId]: { ...member, username, displayName } };
      }
    }
    if (byId !== list.byId) {
      next = { ...next, [roomId]: { ...list, byId } };
    }
  }
  return next;
}

export function setTyping(
  typing: State["typing"],
  roomId: RoomId,
  userId: UserId,
  until: number | null,
): State["typing"] {
  const users = typing[roomId] ?? {};
  if (until !== null) {
    return { ...typing, [roomId]: { ...users, [userId]: until } };
  }
  return users[userId] === undefined ? typing : dropTyping(typing, (room, user) => room !== roomId || user !== userId);
}

/** Keeps those for whom `keep` says so. */
export function dropTyping(
  typing: State["typing"],
  keep: (roomId: RoomId, userId: UserId, until: number) => boolean,
): State["typing"] {
  let changed = false;
  const next: Record<RoomId, Readonly<Record<UserId, number>>> = {};
  for (const [roomId, users] of Object.entries(typing)) {
    const left = Object.entries(users).filter(([userId, until]) => keep(roomId, userId, until));
    if (left.length === Object.keys(users).length) {
      next[roomId] = users;
    } else {
      changed = true;
      if (left.length > 0) {
        next[roomId] = Object.fromEntries(left);
      }
    }
  }
  return changed ? next : typing;
}
