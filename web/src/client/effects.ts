// What the client wants done, and what it tells. Whoever drives it (`model/runtime`) carries these out in order.

import type {
  HelloMetadata,
  PageShape,
  Place,
  RoomShape,
  ServerFrame,
  ServerPresence,
  ServerStream,
  ServerTyping,
} from "../protocol";
import type { Connection } from "./connection";
import type { Outgoing, Refusal, SendState } from "./outbox";
import type { ReloadReason, RoomEventFrame } from "./positions";

export type ClientEffect =
  // To be done.
  | { readonly do: "open"; readonly socket: number }
  | { readonly do: "close"; readonly socket: number }
  | { readonly do: "write"; readonly socket: number; readonly text: string }
  | { readonly do: "token"; readonly fresh: boolean }
  // To be known.
  | { readonly do: "connection"; readonly connection: Connection }
  | { readonly do: "hello"; readonly hello: HelloMetadata; readonly timestamp: string }
  | { readonly do: "rooms"; readonly rooms: readonly RoomShape[] }
  /** All pages of one's rooms came: these are all. */
  | { readonly do: "roomsWhole"; readonly roomIds: readonly string[] }
  | {
      readonly do: "deliver";
      readonly roomId: string;
      readonly place: Place;
      readonly events: readonly RoomEventFrame[];
      readonly late: boolean;
    }
  /** The newest page of a room, in place of all that was there. */
  | { readonly do: "newest"; readonly roomId: string; readonly page: PageShape; readonly reason: ReloadReason }
  | { readonly do: "gone"; readonly roomId: string }
  | { readonly do: "unknownRoom"; readonly roomId: string }
  | { readonly do: "sendState"; readonly id: string; readonly state: SendState }
  /** Stored. The event itself comes by `deliver`, at once or after what was missed before it. */
  | { readonly do: "acked"; readonly message: Outgoing; readonly seq: number }
  | { readonly do: "presence"; readonly frame: ServerPresence }
  | { readonly do: "typing"; readonly frame: ServerTyping }
  | { readonly do: "stream"; readonly frame: ServerStream }
  /** A request was answered, refused, or the connection broke before. */
  | { readonly do: "answered"; readonly id: string; readonly answer: Answer }
  /** The server said something that belongs to no request and no room: for a log. */
  | { readonly do: "complaint"; readonly refusal: Refusal };

export type Answer =
  | { readonly is: "done"; readonly frame: ServerFrame }
  | { readonly is: "refused"; readonly refusal: Refusal }
  | { readonly is: "lost" };
