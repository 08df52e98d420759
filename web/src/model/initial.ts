// The state before anything is known.

import type { State } from "./state";
import type { Settings } from "./types";

/** Messages that may wait over all rooms. */
export const OUTBOX_LIMIT = 200;

export const defaultSettings: Settings = {
  theme: "system",
  density: "comfortable",
  language: "",
  motion: "system",
  notifications: false,
  sounds: false,
  sendTyping: true,
  enterSends: true,
};

export const initialState: State = {
  session: { phase: "starting", me: null, sessionId: null, deviceId: null, ended: null },
  connection: { phase: "idle", reason: null, since: 0, retryAt: null, banner: false, catchingUp: 0, attempts: 0 },
  limits: { contentChars: 4096, messagesPerSecond: 10, pageRows: 100 },
  rooms: { byId: {}, loaded: false },
  timelines: {},
  people: {},
  presence: { users: {}, online: {} },
  members: {},
  typing: {},
  drafts: {},
  outbox: { sends: [], limit: OUTBOX_LIMIT },
  directory: { rooms: [], loading: false, complete: false, problem: null, cursor: null },
  logins: { list: [], loading: false, problem: null },
  settings: defaultSettings,
  view: { roomId: null, line: null, visible: true, focused: true },
  storage: "unknown",
};
