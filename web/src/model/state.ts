// The whole state of the model, slice by slice, as the reducers keep it. The UI reads it through selectors.ts only.

import type {
  ConnectionState,
  DirectoryView,
  Limits,
  Login,
  Member,
  Message,
  Person,
  Problem,
  Room,
  RoomId,
  RoomNotice,
  SessionState,
  Settings,
  Status,
  UserId,
} from "./types";

/** What stands in a timeline: a message that is stored, or a notice. */
export type TimelineEvent =
  | { readonly kind: "message"; readonly seq: number; readonly message: Message }
  | { readonly kind: "notice"; readonly seq: number; readonly notice: RoomNotice };

/** One unbroken part of a room's log: everything from `from` to `to` that is shown. */
export interface Timeline {
  readonly epoch: number;
  /** The lowest seq from which on nothing is missing here; above `to` when there is nothing yet. */
  readonly from: number;
  readonly to: number;
  /** The first event that one may read, as far as is known. */
  readonly firstSeq: number;
  /** What was before `firstSeq` was there once, and cannot be had any more. */
  readonly lost: boolean;
  readonly events: readonly TimelineEvent[];
  readonly loading: boolean;
  readonly problem: Problem | null;
}

/** One's own message on its way. */
export interface Send {
  readonly id: string;
  readonly roomId: RoomId;
  readonly text: string;
  readonly at: number;
  readonly state: "waiting" | "sending" | "failed";
  readonly problem: Problem | null;
  /** It may be this event of the timeline, which came before its ack: until that tells, it is not shown twice. */
  readonly perhaps: number | null;
}

export interface MemberList {
  readonly userIds: readonly UserId[];
  readonly byId: Readonly<Record<UserId, Member>>;
  readonly total: number;
  readonly cursor: string | null;
  readonly loading: boolean;
  readonly complete: boolean;
  readonly problem: Problem | null;
}

/** Where the person is. */
export interface ViewState {
  readonly roomId: RoomId | null;
  /** The read marker when the room was opened: the unread line stays there until the room is left. */
  readonly line: number | null;
  readonly visible: boolean;
  readonly focused: boolean;
}

export interface State {
  readonly session: SessionState;
  readonly connection: ConnectionState;
  readonly limits: Limits;
  readonly rooms: { readonly byId: Readonly<Record<RoomId, Room>>; readonly loaded: boolean };
  readonly timelines: Readonly<Record<RoomId, Timeline>>;
  readonly people: Readonly<Record<UserId, Person>>;
  readonly presence: {
    readonly users: Readonly<Record<UserId, Status>>;
    readonly online: Readonly<Record<RoomId, number>>;
  };
  readonly members: Readonly<Record<RoomId, MemberList>>;
  /** By room and user: until when. */
  readonly typing: Readonly<Record<RoomId, Readonly<Record<UserId, number>>>>;
  readonly drafts: Readonly<Record<RoomId, string>>;
  readonly outbox: { readonly sends: readonly Send[]; readonly limit: number };
  readonly directory: DirectoryView & { readonly cursor: string | null };
  readonly logins: { readonly list: readonly Login[]; readonly loading: boolean; readonly problem: Problem | null };
  readonly settings: Settings;
  readonly view: ViewState;
  /** `memory`: this browser keeps nothing, so what is written offline is gone with the page. Say so. */
  readonly storage: "unknown" | "kept" | "memory";
}
