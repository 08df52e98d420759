// What the UI reads of the state. Selectors answer the same object as long as what they show did not change.

import { createSelector, lruMemoize } from "@reduxjs/toolkit";
import { makeRows } from "./rows";
import type { MemberList, Send, State, Timeline } from "./state";
import type {
  ConnectionState,
  DirectoryView,
  Limits,
  Login,
  MembersView,
  OutboxLevel,
  Person,
  Problem,
  Room,
  RoomId,
  RoomListItem,
  Row,
  SessionState,
  Settings,
  Status,
  TimelineView,
  UserId,
} from "./types";

const NO_SENDS: readonly Send[] = [];
const NO_USERS: readonly UserId[] = [];

// ---- Who and how

export const selectSession = (state: State): SessionState => state.session;
export const selectMe = (state: State): Person | null => state.session.me;
export const selectConnection = (state: State): ConnectionState => state.connection;
export const selectLimits = (state: State): Limits => state.limits;
export const selectSettings = (state: State): Settings => state.settings;
/** `memory`: nothing is kept in this browser. */
export const selectStorage = (state: State): State["storage"] => state.storage;
/** The room that is open, for `aria-current` and the like. */
export const selectOpenRoom = (state: State): RoomId | null => state.view.roomId;

/** Somebody, when known. Names of authors are asked for by themselves: show a placeholder until they come. */
export const selectPerson = (state: State, userId: UserId): Person | undefined => state.people[userId];
export const selectStatus = (state: State, userId: UserId): Status => state.presence.users[userId] ?? "offline";

export const selectLogins = (
  state: State,
): { readonly list: readonly Login[]; readonly loading: boolean; readonly problem: Problem | null } => state.logins;

// ---- Rooms

export const selectRoom = (state: State, roomId: RoomId): Room | undefined => state.rooms.byId[roomId];
/** Whether the list of rooms is there at all (from this browser or the server). */
export const selectRoomsLoaded = (state: State): boolean => state.rooms.loaded;
/** The room's name, or that of the other one in a direct room; empty while not known. */
export const selectRoomTitle = (state: State, roomId: RoomId): string => {
  const room = state.rooms.byId[roomId];
  return room ? titleOf(room, state.people) : "";
};
/** How many are online there, when the server told. */
export const selectOnlineCount = (state: State, roomId: RoomId): number | null => state.presence.online[roomId] ?? null;
export const selectUnread = (state: State, roomId: RoomId): number => {
  const room = state.rooms.byId[roomId];
  return room ? unreadOf(room) : 0;
};
export const selectDirectory = (state: State): DirectoryView => state.directory;

function titleOf(room: Room, people: State["people"]): string {
  return room.type === "direct" && room.peer ? (people[room.peer]?.displayName ?? "") : room.name;
}

function unreadOf(room: Room): number {
  return room.joined ? Math.max(0, room.lastNumber - room.readNumber) : 0;
}

/** Own messages on the way, by room. */
const selectSendsByRoom = createSelector([(state: State) => state.outbox.sends], (sends) => {
  const byRoom = new Map<RoomId, Send[]>();
  for (const send of sends) {
    const list = byRoom.get(send.roomId);
    if (list) {
      list.push(send);
    } else {
      byRoom.set(send.roomId, [send]);
    }
  }
  return byRoom;
});

/** A map whose entries keep their identity when only others changed. */
function makeStable(): (fresh: Map<RoomId, Send[]>) => Map<RoomId, readonly Send[]> {
  let old = new Map<RoomId, readonly Send[]>();
  return (fresh) => {
    const next = new Map<RoomId, readonly Send[]>();
    for (const [roomId, list] of fresh) {
      const before = old.get(roomId);
      const same = before?.length === list.length && list.every((send, index) => send === before[index]);
      next.set(roomId, same ? before : list);
    }
    old = next;
    return next;
  };
}
const stable = makeStable();
const selectStableSends = createSelector([selectSendsByRoom], (fresh) => stable(fresh));
const sendsOf = (state: State, roomId: RoomId): readonly Send[] => selectStableSends(state).get(roomId) ?? NO_SENDS;

/** The rooms one is in, newest activity first. An item keeps its identity while it says the same. */
export const selectRoomList = (() => {
  let items = new Map<RoomId, RoomListItem>();
  return createSelector(
    [
      (state: State) => state.rooms.byId,
      (state: State) => state.people,
      (state: State) => state.drafts,
      selectStableSends,
      (state: State) => state.presence.users,
    ],
    (rooms, people, drafts, sends, statuses): readonly RoomListItem[] => {
      const next = new Map<RoomId, RoomListItem>();
      for (const room of Object.values(rooms)) {
        if (!room.joined) {
          continue;
        }
        const own = sends.get(room.roomId) ?? NO_SENDS;
        const failed = own.reduce((count, send) => count + (send.state === "failed" ? 1 : 0), 0);
        const item: RoomListItem = {
          room,
          title: titleOf(room, people),
          unread: unreadOf(room),
          draft: drafts[room.roomId] ?? "",
          waiting: own.length - failed,
          failed,
          status: room.peer ? (statuses[room.peer] ?? "offline") : null,
        };
        const before = items.get(room.roomId);
        next.set(room.roomId, before && sameItem(before, item) ? before : item);
      }
      items = next;
      return [...next.values()].sort((a, b) => b.room.lastAt - a.room.lastAt || a.title.localeCompare(b.title));
    },
  );
})();

function sameItem(a: RoomListItem, b: RoomListItem): boolean {
  return (
    a.room === b.room &&
    a.title === b.title &&
    a.unread === b.unread &&
    a.draft === b.draft &&
    a.waiting === b.waiting &&
    a.failed === b.failed &&
    a.status === b.status
  );
}

/** Unread messages of all rooms, for the title of the page. */
export const selectUnreadTotal = createSelector([(state: State) => state.rooms.byId], (rooms) =>
  Object.values(rooms).reduce((sum, room) => sum + unreadOf(room), 0),
);

// ---- A timeline

interface RowsMemo {
  readonly rows: ReturnType<typeof makeRows>;
  view: TimelineView | null;
}
/** One memo for each of the rooms that were looked at last. */
const memos = new Map<RoomId, RowsMemo>();
const MEMOS_MAX = 20;

function memoOf(roomId: RoomId): RowsMemo {
  let memo = memos.get(roomId);
  if (memo) {
    memos.delete(roomId);
  } else {
    memo = { rows: makeRows(), view: null };
  }
  memos.set(roomId, memo);
  if (memos.size > MEMOS_MAX) {
    for (const oldest of memos.keys()) {
      memos.delete(oldest);
      break;
    }
  }
  return memo;
}

/** The rows of a room and how they are loaded. */
export const selectTimeline = (state: State, roomId: RoomId): TimelineView => {
  const memo = memoOf(roomId);
  const timeline = state.timelines[roomId];
  const room = state.rooms.byId[roomId];
  const line = state.view.roomId === roomId ? state.view.line : null;
  const rows = memo.rows({
    timeline,
    sends: sendsOf(state, roomId),
    me: state.session.me?.userId ?? null,
    line,
    lastNumber: room?.lastNumber ?? 0,
  });
  const view = viewOf(rows, timeline, room, line);
  if (memo.view && sameView(memo.view, view)) {
    return memo.view;
  }
  memo.view = view;
  return view;
};

function viewOf(
  rows: readonly Row[],
  timeline: Timeline | undefined,
  room: Room | undefined,
  line: number | null,
): TimelineView {
  const complete = timeline !== undefined && timeline.from <= timeline.firstSeq;
  const unreadKey = rows.some((row) => row.kind === "unread") ? "unread" : null;
  const first = timeline?.events.find((event) => event.kind === "message");
  const firstNumber = first?.kind === "message" ? (first.message.number ?? 0) : 0;
  const filled = rows.some((row) => row.kind === "message" || row.kind === "notice");
  return {
    rows,
    loading: timeline?.loading ?? false,
    complete,
    problem: timeline?.problem ?? null,
    empty: filled ? "filled" : complete ? "empty" : "unknown",
    unreadKey,
    unreadBeyond: line !== null && !complete && room !== undefined && room.lastNumber > line && firstNumber > line + 1,
    unread: room ? unreadOf(room) : 0,
  };
}

function sameView(a: TimelineView, b: TimelineView): boolean {
  return (Object.keys(a) as (keyof TimelineView)[]).every((key) => a[key] === b[key]);
}

// ---- People in a room

const NO_MEMBERS: MembersView = { members: [], total: 0, online: null, loading: false, complete: false, problem: null };

/** The members of a room as far as they were loaded; owners and moderators first, then those who are there, then by name. */
export const selectMembers = createSelector(
  [
    (state: State, roomId: RoomId): MemberList | undefined => state.members[roomId],
    (state: State) => state.presence.users,
    (state: State, roomId: RoomId): number | null => state.presence.online[roomId] ?? null,
  ],
  (list, statuses, online): MembersView => {
    if (!list) {
      return NO_MEMBERS;
    }
    const members = list.userIds.flatMap((userId) => {
      const member = list.byId[userId];
      return member ? [{ ...member, status: statuses[userId] ?? member.status }] : [];
    });
    const rank = { owner: 0, moderator: 1, member: 2 };
    const there = { online: 0, away: 1, offline: 2 };
    members.sort(
      (a, b) =>
        rank[a.role] - rank[b.role] || there[a.status] - there[b.status] || a.displayName.localeCompare(b.displayName),
    );
    return {
      members,
      total: Math.max(list.total, members.length),
      online,
      loading: list.loading,
      complete: list.complete,
      problem: list.problem,
    };
  },
);

/** Who types there at the moment, oneself left out. */
export const selectTyping = createSelector(
  [(state: State, roomId: RoomId) => state.typing[roomId], (state: State) => state.session.me?.userId],
  (users, me): readonly UserId[] => {
    const others = Object.keys(users ?? {}).filter((userId) => userId !== me);
    return others.length === 0 ? NO_USERS : others.sort();
  },
  { memoize: lruMemoize, memoizeOptions: { maxSize: 50 } },
);

// ---- Writing

export const selectDraft = (state: State, roomId: RoomId): string => state.drafts[roomId] ?? "";

/** How full the outbox is, over all rooms. */
export const selectOutboxLevel = createSelector(
  [(state: State) => state.outbox.sends, (state: State) => state.outbox.limit],
  (sends, limit): OutboxLevel => {
    const failed = sends.reduce((count, send) => count + (send.state === "failed" ? 1 : 0), 0);
    return {
      waiting: sends.length - failed,
      failed,
      limit,
      near: sends.length >= limit * 0.8,
      full: sends.length >= limit,
    };
  },
);

/** The newest own message that can still be taken back, for "Up edits the last message" and the like; its seq. */
export const selectLastOwn = (state: State, roomId: RoomId): number | null => {
  const me = state.session.me?.userId;
  const events = state.timelines[roomId]?.events ?? [];
  for (let index = events.length - 1; index >= 0; index -= 1) {
    const event = events[index];
    if (event?.kind === "message" && event.message.userId === me && event.message.content !== null) {
      return event.seq;
    }
  }
  return null;
};
