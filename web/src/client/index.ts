// The client of the protocol: a pure machine for the live connection, calls of the REST interface, tokens. What it is told to do with
// sockets and time is done by `model/runtime`.

export { Client, type ClientOptions } from "./client";
export { type Connection, idle, type Reason } from "./connection";
export type { Answer, ClientEffect } from "./effects";
export type { Outgoing, Refusal, SendState } from "./outbox";
export type { ReloadReason, RoomEventFrame } from "./positions";
export { type Answered, Rest, type RestCode, type RestOptions } from "./rest";
export { isOver, type Renewed, type SharedToken, Tokens } from "./tokens";
export type { Socket, SocketCallbacks, Transport } from "./transport";
