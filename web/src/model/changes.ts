// What can happen to the state, as plain data. The engine collects them and hands them to the store once a frame.

import type { Send, State } from "./state";
import type {
  ConnectionState,
  Limits,
  ListedRoom,
  Login,
  Member,
  Message,
  Person,
  Problem,
  Role,
  Room,
  RoomId,
  RoomNotice,
  SessionState,
  Settings,
  Status,
  UserId,
} from "./types";

/** An event of a room, opened by `content.ts`. */
export type RoomEvent =
  | { readonly kind: "message"; readonly seq: number; readonly message: Message }
  | { readonly kind: "notice"; readonly seq: number; readonly notice: RoomNotice }
  | {
      readonly kind: "deletion";
      readonly seq: number;
      readonly target: number;
      readonly by: UserId;
      readonly at: number;
    }
  /** Something that is not shown: an empty number, a type of a newer server. */
  | { readonly kind: "other"; readonly seq: number; readonly at: number };

/** A page of a room's log. */
export interface Page {
  readonly roomId: RoomId;
  readonly epoch: number;
  /** Nothing is missing from here … */
  readonly from: number;
  /** … to here. */
  readonly to: number;
  readonly firstSeq: number;
  readonly events: readonly RoomEvent[];
}

export type Change =
  | { readonly do: "session"; readonly session: Partial<SessionState> }
  | { readonly do: "connection"; readonly connection: Partial<ConnectionState> }
  | { readonly do: "limits"; readonly limits: Limits }
  | { readonly do: "storage"; readonly storage: State["storage"] }
  /** Nobody is signed in (any more): everything but the settings goes. */
  | { readonly do: "reset"; readonly ended: SessionState["ended"] }
  /** What was kept in this browser. */
  | {
      readonly do: "restored";
      readonly rooms: readonly Room[];
      readonly people: readonly Person[];
      readonly pages: readonly (Page & { readonly lost: boolean })[];
      readonly drafts: Readonly<Record<RoomId, string>>;
    }
  /** Rooms as the server told them just now. */
  | { readonly do: "rooms"; readonly rooms: readonly Room[] }
  /** The list is whole: what is not in it is no room of one's own any more. */
  | { readonly do: "roomsWhole"; readonly roomIds: readonly RoomId[] }
  | { readonly do: "roomGone"; readonly roomId: RoomId }
  /** The next events, in order and without a hole, up to `to`. */
  | {
      readonly do: "events";
      readonly roomId: RoomId;
      readonly epoch: number;
      readonly to: number;
      readonly events: readonly RoomEvent[];
    }
  /** The newest page, in place of all that was there; `lost`: because that cannot be continued. */
  | { readonly do: "newest"; readonly page: Page; readonly lost: boolean }
  /** A page that ends right before what is there. */
  | { readonly do: "older"; readonly page: Page }
  | { readonly do: "loading"; readonly roomId: RoomId; readonly loading: boolean; readonly problem: Problem | null }
  | { readonly do: "read"; readonly roomId: RoomId; readonly number: number }
  | { readonly do: "view"; readonly view: Partial<State["view"]> }
  | { readonly do: "people"; readonly people: readonly Person[] }
  | {
      readonly do: "presence";
      readonly users: Readonly<Record<UserId, Status>>;
      readonly roomId: RoomId | null;
      readonly online: number | null;
    }
  /** Nobody is known to be there: the connection is gone. */
  | { readonly do: "presenceUnknown" }
  | {
      readonly do: "membersLoading";
      readonly roomId: RoomId;
      readonly loading: boolean;
      readonly problem: Problem | null;
    }
  | {
      readonly do: "members";
      readonly roomId: RoomId;
      readonly members: readonly Member[];
      readonly total: number;
      readonly cursor: string | null;
      readonly fresh: boolean;
    }
  | { readonly do: "role"; readonly roomId: RoomId; readonly userId: UserId; readonly role: Role }
  | { readonly do: "typing"; readonly roomId: RoomId; readonly userId: UserId; readonly until: number | null }
  | { readonly do: "typingOver"; readonly now: number }
  | { readonly do: "draft"; readonly roomId: RoomId; readonly text: string }
  | { readonly do: "sends"; readonly sends: readonly Send[] }
  | {
      readonly do: "directory";
      readonly rooms: readonly ListedRoom[];
      readonly cursor: string | null;
      readonly fresh: boolean;
    }
  | { readonly do: "directoryLoading"; readonly loading: boolean; readonly problem: Problem | null }
  | { readonly do: "logins"; readonly list: readonly Login[] }
  | { readonly do: "loginsLoading"; readonly loading: boolean; readonly problem: Problem | null }
  | { readonly do: "settings"; readonly settings: Partial<Settings> };
