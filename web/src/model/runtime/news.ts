// Which messages are news: of others, just written, not read yet, in a room that one is in.

import type { State } from "../state";
import type { Message, News, RoomId } from "../types";

/** A message that is older than this is no news, however it came. */
const NEWS_MS = 60_000;

/** The news among messages of others that just came into this room. */
export function newsIn(state: State, roomId: RoomId, messages: readonly Message[], now: number): readonly News[] {
  const { rooms, view, people } = state;
  const room = rooms.byId[roomId];
  if (!room) {
    return [];
  }
  const looking = view.visible && view.focused && view.roomId === roomId;
  return messages
    .filter((one) => now - one.at < NEWS_MS && one.content !== null && (one.number ?? 0) > room.readNumber)
    .map((message) => {
      const { userId } = message;
      const person = people[userId] ?? { userId, username: "", displayName: "", admin: false };
      const title = room.type === "direct" ? person.displayName : room.name;
      return { roomId, title, person, message, hidden: !looking };
    });
}
