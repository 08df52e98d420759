// What the UI can ask for, as thunks. None of them throws or rejects: those that can fail answer with a `Result`.
//
//   const result = await dispatch(send(roomId, text));
//   if (!result.ok) show(result.problem);

import type { ThunkAction, UnknownAction } from "@reduxjs/toolkit";
import type { Engine, NewRoom, RoomChange, SignUp } from "./engine";
import type { State } from "./state";
import type { ListedRoom, Person, Result, Role, RoomId, Settings, UserId } from "./types";

/** A thunk of the model. */
export type ModelThunk<Answer> = ThunkAction<Answer, State, Engine, UnknownAction>;

// ---- Who one is

/** Makes an account and signs in. Codes to expect: `bad_name`, `bad_password`, `name_taken`, `signup_closed`, `too_many_attempts`. */
export const signUp =
  (wish: SignUp): ModelThunk<Promise<Result<Person>>> =>
  (_, __, engine) =>
    engine.signUp(wish);

/** Signs in. Codes to expect: `bad_credentials`, `suspended`, `too_many_attempts` (with `retryAt`). */
export const signIn =
  (username: string, password: string): ModelThunk<Promise<Result<Person>>> =>
  (_, __, engine) =>
    engine.signIn(username, password);

/**
 * Signs out and deletes everything that is kept here, in all tabs. Works offline too: then the server forgets the session when it
 * runs out. Ask first when `selectOutboxLevel` says that something waits: it is lost.
 */
export const signOut = (): ModelThunk<Promise<Result>> => (_, __, engine) => engine.signOut();

/** A new password; ends all other sessions. Codes: `bad_credentials` (the present one is wrong), `bad_password`. */
export const changePassword =
  (current: string, next: string): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.changePassword(current, next);

/** Loads one's sessions into `selectLogins`. */
export const loadLogins = (): ModelThunk<Promise<Result>> => (_, __, engine) => engine.loadLogins();

/** Ends another session of one's own. (One's present one: `signOut`.) */
export const endLogin =
  (sessionId: string): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.endLogin(sessionId);

/** Changes the name that others see. */
export const changeProfile =
  (change: { displayName: string }): ModelThunk<Promise<Result<Person>>> =>
  (_, __, engine) =>
    engine.changeProfile(change);

/** Connects now instead of waiting ("Try again" in the banner). */
export const reconnect = (): ModelThunk<void> => (_, __, engine) => engine.reconnect();

// ---- Rooms

/** Makes a room and comes into it; answers its id. Codes: `bad_name`, `name_taken`, `too_many_rooms`, `user_not_found`. */
export const createRoom =
  (room: NewRoom): ModelThunk<Promise<Result<RoomId>>> =>
  (_, __, engine) =>
    engine.createRoom(room);

/** The direct room with somebody; makes it when there is none. */
export const openDirect =
  (userId: UserId): ModelThunk<Promise<Result<RoomId>>> =>
  (_, __, engine) =>
    engine.openDirect(userId);

/** Comes into a public room. */
export const joinRoom =
  (roomId: RoomId): ModelThunk<Promise<Result<RoomId>>> =>
  (_, __, engine) =>
    engine.joinRoom(roomId);

/** Goes out of a room; what is kept of it here is forgotten. Code to expect: `last_owner`. */
export const leaveRoom =
  (roomId: RoomId): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.leaveRoom(roomId);

/** Changes name, description or retention. */
export const changeRoom =
  (roomId: RoomId, change: RoomChange): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.changeRoom(roomId, change);

/** Removes a room with all that was said in it. For owners. */
export const deleteRoom =
  (roomId: RoomId): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.deleteRoom(roomId);

/** What a room is that one is not in (a link to it was opened). `room_not_found` also when one may not see it. */
export const lookAtRoom =
  (roomId: RoomId): ModelThunk<Promise<Result<ListedRoom>>> =>
  (_, __, engine) =>
    engine.lookAtRoom(roomId);

/** Loads the public rooms into `selectDirectory`: from the beginning, or (`more`) the next page. */
export const loadDirectory =
  (more = false): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.loadDirectory(more);

// ---- People

/** Loads the members of a room into `selectMembers`: from the beginning, or (`more`) the next page. */
export const loadMembers =
  (roomId: RoomId, more = false): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.loadMembers(roomId, more);

/** Brings somebody in. For owners and moderators. */
export const addMember =
  (roomId: RoomId, userId: UserId, role?: Role): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.addMember(roomId, userId, role);

/** Gives somebody another role. For owners. */
export const setRole =
  (roomId: RoomId, userId: UserId, role: Role): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.setRole(roomId, userId, role);

/** Puts somebody out. For owners and moderators. */
export const removeMember =
  (roomId: RoomId, userId: UserId): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.removeMember(roomId, userId);

/** Looks for people by name. The caller waits between keystrokes (some 200 ms) and passes over late answers. */
export const findPeople =
  (query: string): ModelThunk<Promise<Result<readonly Person[]>>> =>
  (_, __, engine) =>
    engine.findPeople(query);

/** Asks who somebody is. The model does this by itself for all authors; for links to profiles. */
export const loadPerson =
  (userId: UserId): ModelThunk<Promise<Result<Person>>> =>
  (_, __, engine) =>
    engine.loadPerson(userId);

// ---- The open room

/**
 * The person looks at this room now: the newest page and the members are loaded if need be, the unread line is fixed, presence is
 * watched. Call it when the route changes; `closeRoom` when no room is shown.
 */
export const openRoom =
  (roomId: RoomId): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.openRoom(roomId);

/** No room is looked at: the unread line goes. */
export const closeRoom = (): ModelThunk<void> => (_, __, engine) => engine.closeRoom();

/** The page before the oldest row. Calls while one is under way do nothing. */
export const loadOlder =
  (roomId: RoomId): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.loadOlder(roomId);

/** Loads back until the first unread message is there; answers the key of its unread line (null: nothing is unread). */
export const loadToUnread =
  (roomId: RoomId): ModelThunk<Promise<Result<string | null>>> =>
  (_, __, engine) =>
    engine.loadToUnread(roomId);

/**
 * The row of this seq is on screen. Call it freely (on scroll, on new rows): the marker moves only forward, only while the page is
 * visible and has the focus, and is told to the server at most twice a second.
 */
export const readUpTo =
  (roomId: RoomId, seq: number): ModelThunk<void> =>
  (_, __, engine) =>
    engine.readUpTo(roomId, seq);

/** "Mark as read": all of it, seen or not. */
export const markRead =
  (roomId: RoomId): ModelThunk<void> =>
  (_, __, engine) =>
    engine.markRead(roomId);

// ---- Saying something

/**
 * Says something. It is kept first, then shown as waiting, then sent when its turn comes; answers the row's key. Fails at once with
 * `bad_content` (too long, empty) and `outbox_full`. The draft of the room is emptied when it worked.
 */
export const send =
  (roomId: RoomId, text: string): ModelThunk<Promise<Result<string>>> =>
  (_, __, engine) =>
    engine.send(roomId, text);

/** Tries a failed message again (`message.key`). */
export const retrySend =
  (key: string): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.retrySend(key);

/** Throws a waiting or failed message away. One that is being sent cannot be stopped any more: `not_allowed`. */
export const discardSend =
  (key: string): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.discardSend(key);

/** Takes a sent message back: one's own, or as a moderator anybody's. */
export const takeBack =
  (roomId: RoomId, seq: number): ModelThunk<Promise<Result>> =>
  (_, __, engine) =>
    engine.takeBack(roomId, seq);

/** What stands in the composer. Call it on every change; it is kept some 300 ms later. */
export const setDraft =
  (roomId: RoomId, text: string): ModelThunk<void> =>
  (_, __, engine) =>
    engine.setDraft(roomId, text);

/** The person types (call it on every keystroke) or stopped. Sent at most once in 3 s, and not at all when settings say so. */
export const typing =
  (roomId: RoomId, active = true): ModelThunk<void> =>
  (_, __, engine) =>
    engine.typing(roomId, active);

// ---- This device

/** Changes what this device likes; kept at once. */
export const setSettings =
  (change: Partial<Settings>): ModelThunk<void> =>
  (_, __, engine) =>
    engine.setSettings(change);
