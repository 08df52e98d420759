// The shape of what the app knows: the words that the UI and the reducers share. Plain data, all of it serializable and readonly.
//
// Times are numbers, milliseconds since 1970. Ids are lower-case UUID strings. A `seq` is the place of an event in its room, a
// `number` counts messages only (unread counts and read markers use it).

import type { Code, Role, RoomType } from "@/protocol";

export type { Code, Role, RoomType } from "@/protocol";

export type RoomId = string;
export type UserId = string;

/** Somebody, as others see them. `status` is known only where the server told it. */
export interface Person {
  readonly userId: UserId;
  readonly username: string;
  readonly displayName: string;
  readonly admin: boolean;
  readonly lastSeen?: number;
}

export type Status = "online" | "away" | "offline";

/** Why something was not done. `code` has a sentence in i18n under `error.<code>` (see `errorCodes`). */
export interface Problem {
  readonly code: Code | ClientCode;
  /** What is wrong this time, in the server's English; for a detail line. Empty where the client itself found it. */
  readonly detail: string;
  /** The field of the form that is meant, as the request calls it (`username`, `display_name`, `name`, …). */
  readonly field?: string;
  /** When the same may be tried again. */
  readonly retryAt?: number;
}

/**
 * What the client itself finds wrong. `offline`: there is no network. `network`: the server did not answer. `unreadable`: its
 * answer made no sense. `outbox_full`: too much waits already. `storage`: this browser keeps nothing (full, or forbidden).
 * `unknown`: a code of a newer server.
 */
export type ClientCode = "offline" | "network" | "unreadable" | "outbox_full" | "storage" | "unknown";

/** The answer of a thunk: done, or why not. Thunks never reject. */
export type Result<T = undefined> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: Problem };

/** Who is signed in here. */
export interface SessionState {
  /** `starting`: reading what is kept and asking the server whether the cookie is still good. */
  readonly phase: "starting" | "signedOut" | "signedIn" | "signingOut";
  readonly me: Person | null;
  readonly sessionId: string | null;
  readonly deviceId: string | null;
  /** Why one is signed out, when it was not one's own wish. */
  readonly ended: "revoked" | "expired" | "suspended" | null;
}

/** The connection, for people. */
export interface ConnectionState {
  readonly phase:
    | "idle" // nobody is signed in
    | "offline" // the browser says that there is no network
    | "connecting"
    | "live"
    | "waiting" // until `retryAt`, then again
    | "stopped"; // will not come back by itself: see `reason`
  /** Why it is not live. */
  readonly reason: ConnectionReason | null;
  /** Since when it is not live; 0 while it is. */
  readonly since: number;
  /** When it is tried again (`waiting`). */
  readonly retryAt: number | null;
  /** True from 2 s after `since`: now say it. Never true while live. */
  readonly banner: boolean;
  /** Rooms of which the missed part is still on its way. */
  readonly catchingUp: number;
  /** Attempts since it was last live. */
  readonly attempts: number;
}

/**
 * `lost`: no reason known. `draining`: the server restarts. `silent`, `slow`: the way there is bad. `too_many`: too many connections.
 * Stopped for good: `protocol` (this page is older than the server: reload it), `too_much`, `suspended`, `session_ended`, `signed_out`.
 */
export type ConnectionReason =
  | "lost"
  | "draining"
  | "silent"
  | "slow"
  | "too_many"
  | "protocol"
  | "too_much"
  | "suspended"
  | "session_ended"
  | "signed_out";

/** A room one is in (or looks at: `joined` false, then there is no role). */
export interface Room {
  readonly roomId: RoomId;
  /** Empty in a direct room: show the peer's name (`selectRoomTitle`). */
  readonly name: string;
  readonly type: RoomType;
  readonly description: string;
  readonly role: Role | null;
  /** The other one, in a direct room. */
  readonly peer: UserId | null;
  readonly members: number;
  readonly joined: boolean;
  readonly lastNumber: number;
  readonly readNumber: number;
  /** When something was last said or done here: the order of the list. */
  readonly lastAt: number;
  readonly createdAt: number;
  readonly retentionDays: number | null;
  /** The newest line, when known here. */
  readonly preview: Preview | null;
  /** The event up to which the server's word about this room counts (members, role); for the reducers. */
  readonly asOf: number;
  /** Changes when the room's past was lost or restored. */
  readonly epoch: number;
}

export interface Preview {
  readonly userId: UserId;
  readonly text: string;
  readonly at: number;
  readonly deleted: boolean;
}

/** What a message says, after `content.ts` opened it. Later more kinds; a kind that the UI does not know is shown as unreadable. */
export type Content =
  | { readonly kind: "text"; readonly text: string; readonly extra?: Readonly<Record<string, unknown>> }
  | { readonly kind: "unreadable"; readonly reason: "no_key" | "damaged" | "newer" };

/** A message, from the moment that it is written to the moment that it is taken back. */
export interface Message {
  /** Stays the same from waiting to sent: use it as React key. */
  readonly key: string;
  readonly roomId: RoomId;
  /** Absent until it is stored. */
  readonly seq?: number;
  readonly messageId?: string;
  readonly number?: number;
  readonly userId: UserId;
  readonly at: number;
  /** Null when it was taken back. */
  readonly content: Content | null;
  readonly deletedAt?: number;
  readonly deletedBy?: UserId;
  /** `sent` for everybody's; the others are one's own on the way. */
  readonly state: "waiting" | "sending" | "sent" | "failed";
  /** Why it failed, or what it waits for (`rate_limited` with `retryAt`). */
  readonly problem?: Problem;
}

/** Something that happened in a room and is no message. */
export interface RoomNotice {
  readonly key: string;
  readonly roomId: RoomId;
  readonly seq: number;
  readonly at: number;
  /** Who did it. */
  readonly by: UserId;
  /** To whom. */
  readonly subject: UserId;
  readonly what: "joined" | "added" | "left" | "removed" | "role" | "settings";
  readonly role?: Role;
  /** `settings`: which ones, as the server wrote it. */
  readonly detail?: string;
}

/** A line of a timeline, ready to be shown in order. Rows that did not change keep their identity: memoize by it. */
export type Row =
  // Nothing older can be read: the room begins here (`whole`), or one may not see what was before (one came later, or it was cleaned up).
  | { readonly kind: "start"; readonly key: string; readonly whole: boolean }
  | { readonly kind: "lost"; readonly key: string } // what was before cannot be had any more (retention, a restored backup)
  | { readonly kind: "day"; readonly key: string; readonly at: number }
  | { readonly kind: "unread"; readonly key: string; readonly count: number }
  | {
      readonly kind: "message";
      readonly key: string;
      readonly message: Message;
      /** First of a group: show author and time. */
      readonly head: boolean;
      readonly own: boolean;
    }
  | { readonly kind: "notice"; readonly key: string; readonly notice: RoomNotice };

/** How a timeline is loaded. */
export interface TimelineView {
  readonly rows: readonly Row[];
  /** Older rows are on their way. */
  readonly loading: boolean;
  /** The oldest row that one may read is there. */
  readonly complete: boolean;
  /** Why older rows did not come; `loadOlder` tries again. */
  readonly problem: Problem | null;
  /** Nothing was loaded yet: show a skeleton, not "nothing here". */
  readonly empty: "unknown" | "empty" | "filled";
  /** Key of the unread line's row, if there is one in `rows`. */
  readonly unreadKey: string | null;
  /** The first unread message lies further back than what is loaded: `jumpToUnread` loads up to there. */
  readonly unreadBeyond: boolean;
  /** Messages after the read marker. */
  readonly unread: number;
}

/** A member with what is known of their presence. */
export interface Member {
  readonly userId: UserId;
  readonly username: string;
  readonly displayName: string;
  readonly role: Role;
  readonly status: Status;
}

export interface MembersView {
  readonly members: readonly Member[];
  readonly total: number;
  readonly online: number | null;
  readonly loading: boolean;
  readonly complete: boolean;
  readonly problem: Problem | null;
}

/** A room of the directory: public ones, and one's own. */
export interface ListedRoom {
  readonly roomId: RoomId;
  readonly name: string;
  readonly type: RoomType;
  readonly description: string;
  readonly members: number;
  readonly joined: boolean;
}

export interface DirectoryView {
  readonly rooms: readonly ListedRoom[];
  readonly loading: boolean;
  readonly complete: boolean;
  readonly problem: Problem | null;
}

/** A row of the room list. */
export interface RoomListItem {
  readonly room: Room;
  /** The room's name, or the peer's. */
  readonly title: string;
  readonly unread: number;
  /** Something is written and not sent. */
  readonly draft: string;
  /** Own messages that wait or failed. */
  readonly waiting: number;
  readonly failed: number;
  /** Presence of the peer, in a direct room. */
  readonly status: Status | null;
}

/** One login on one device. */
export interface Login {
  readonly sessionId: string;
  readonly deviceId: string;
  readonly createdAt: number;
  readonly usedAt: number;
  readonly expiresAt: number;
  readonly agent: string;
  readonly current: boolean;
}

/** How full the outbox is. `near` is true from 80 % on: tell it before it is full. */
export interface OutboxLevel {
  readonly waiting: number;
  readonly failed: number;
  readonly limit: number;
  readonly near: boolean;
  readonly full: boolean;
}

/** What this device likes; kept in this browser, not on the server. */
export interface Settings {
  readonly theme: "system" | "light" | "dark" | "contrast";
  readonly density: "comfortable" | "compact";
  /** A language tag; empty: the browser's. */
  readonly language: string;
  readonly motion: "system" | "reduced";
  readonly notifications: boolean;
  /** A tone for messages that come while the page is not looked at. */
  readonly sounds: boolean;
  /** Tell others that one types. */
  readonly sendTyping: boolean;
  /** Enter sends; otherwise Ctrl or Cmd with it. */
  readonly enterSends: boolean;
}

/** What the server said to keep to. */
export interface Limits {
  readonly contentChars: number;
  readonly messagesPerSecond: number;
  readonly pageRows: number;
}

/** A message of somebody else that nobody looked at: for a notification. */
export interface News {
  readonly roomId: RoomId;
  readonly title: string;
  readonly person: Person;
  readonly message: Message;
  /** It came while the page was hidden or had no focus, or in another room than the open one. */
  readonly hidden: boolean;
}
