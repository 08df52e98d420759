// The protocol as types and tables, generated from the server's schemas, and the reading and writing of frames. No opinion on
// what they mean. In words it stands in docs/protocol.md.

export * from "./codes";
export * from "./frames";
export type * from "./generated/frames";
export type { Participant, SessionShape, SignedIn, UserWithStatus } from "./generated/rest";
export type { JsonObject } from "./json";
export { isObject, parseJson } from "./json";
export { type Operation, type Operations, operations, readAnswer, readProblem } from "./rest";
