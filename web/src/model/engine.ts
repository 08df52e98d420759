// What stands behind the thunks: whoever carries them out. `runtime/` has the real one; `fixtures.ts` one that needs no server.

import type { ListedRoom, News, Person, Result, Role, RoomId, RoomType, Settings, UserId } from "./types";

export interface NewRoom {
  readonly type: Exclude<RoomType, "direct">;
  readonly name: string;
  readonly description?: string;
  readonly members?: readonly UserId[];
}

export interface RoomChange {
  readonly name?: string;
  readonly description?: string;
  /** Null: as the server is configured. */
  readonly retentionDays?: number | null;
}

export interface SignUp {
  readonly username: string;
  readonly password: string;
  readonly displayName?: string;
  readonly invite?: string;
}

/** See actions.ts for what each promises. */
export interface Engine {
  start(): Promise<void>;
  stop(): Promise<void>;

  signUp(wish: SignUp): Promise<Result<Person>>;
  signIn(username: string, password: string): Promise<Result<Person>>;
  signOut(): Promise<Result>;
  changePassword(current: string, next: string): Promise<Result>;
  loadLogins(): Promise<Result>;
  endLogin(sessionId: string): Promise<Result>;
  changeProfile(change: { displayName: string }): Promise<Result<Person>>;
  reconnect(): void;

  createRoom(room: NewRoom): Promise<Result<RoomId>>;
  openDirect(userId: UserId): Promise<Result<RoomId>>;
  joinRoom(roomId: RoomId): Promise<Result<RoomId>>;
  leaveRoom(roomId: RoomId): Promise<Result>;
  changeRoom(roomId: RoomId, change: RoomChange): Promise<Result>;
  deleteRoom(roomId: RoomId): Promise<Result>;
  lookAtRoom(roomId: RoomId): Promise<Result<ListedRoom>>;
  loadDirectory(more: boolean): Promise<Result>;

  loadMembers(roomId: RoomId, more: boolean): Promise<Result>;
  addMember(roomId: RoomId, userId: UserId, role?: Role): Promise<Result>;
  setRole(roomId: RoomId, userId: UserId, role: Role): Promise<Result>;
  removeMember(roomId: RoomId, userId: UserId): Promise<Result>;
  findPeople(query: string): Promise<Result<readonly Person[]>>;
  loadPerson(userId: UserId): Promise<Result<Person>>;

  openRoom(roomId: RoomId): Promise<Result>;
  closeRoom(): void;
  loadOlder(roomId: RoomId): Promise<Result>;
  loadToUnread(roomId: RoomId): Promise<Result<string | null>>;
  readUpTo(roomId: RoomId, seq: number): void;
  markRead(roomId: RoomId): void;

  send(roomId: RoomId, text: string): Promise<Result<string>>;
  retrySend(id: string): Promise<Result>;
  discardSend(id: string): Promise<Result>;
  takeBack(roomId: RoomId, seq: number): Promise<Result>;
  setDraft(roomId: RoomId, text: string): void;
  typing(roomId: RoomId, active: boolean): void;

  setSettings(change: Partial<Settings>): void;
  /** Calls back for each message of somebody else as it comes; returns how to stop that. */
  onNews(listener: (news: News) => void): () => void;
}
