// The addresses of the app, in one place.

import type { RoomId } from "@/model";

export const HOME = "/";
export const SIGN_IN = "/signin";
export const SIGN_UP = "/signup";
export const FIND = "/rooms";
export const SETTINGS = "/settings";

/** The address of a room. */
export function roomPath(roomId: RoomId): string {
  return `/r/${roomId}`;
}

/** The address of a room's details. */
export function detailsPath(roomId: RoomId): string {
  return `/r/${roomId}/details`;
}

/** The room that an address names. */
export function roomOfPath(path: string): RoomId | null {
  return /^\/r\/([0-9a-f-]{36})(?:\/|$)/u.exec(path)?.[1] ?? null;
}
