// A text frame of the server as a typed value, and a frame of ours as text.

import {
  type ClientFrame,
  type ServerChat,
  type ServerDelete,
  type ServerFrame,
  type ServerJoin,
  type ServerLeave,
  type ServerSystem,
  serverFrames,
  shapes,
} from "./generated/frames";
import { isObject, parseJson } from "./json";
import { read, type Shape } from "./read";

/** What happened in a room, as the server numbers it. */
export type EventFrame = ServerChat | ServerDelete | ServerJoin | ServerLeave | ServerSystem;

/** An event of a type that this client does not know: it has a place in its room, and shows nothing. */
export interface UnknownEvent {
  readonly type: null;
  readonly room_id: string;
  readonly seq: number;
}

/**
 * What a text frame turned out to be. `event`: it has a place in a room, so that position moves even past what is not known.
 * `unknown`: a type or form that this client does not know; pass it over.
 */
export type Incoming =
  | { readonly kind: "event"; readonly event: EventFrame | UnknownEvent }
  | { readonly kind: "frame"; readonly frame: Exclude<ServerFrame, EventFrame> }
  | { readonly kind: "unknown"; readonly type: string | null };

const EVENTS = new Set(["chat", "delete", "join", "leave", "system"]);
/** Types that carry room and seq and are no events. */
const OTHERS = new Set(["ack", "resumed", "stream"]);

const known: Readonly<Record<string, Shape>> = serverFrames;

/** Reads a text frame. Never throws. */
export function readFrame(text: string): Incoming {
  return toFrame(parseJson(text));
}

/** The same of parsed JSON, as it stands in pages of REST. */
export function toFrame(value: unknown): Incoming {
  if (!isObject(value) || typeof value["type"] !== "string") {
    return { kind: "unknown", type: null };
  }
  const type = value["type"];
  const shape = Object.hasOwn(known, type) ? known[type] : undefined;
  const frame = shape && read(value, shape, shapes);
  if (frame === undefined) {
    const { room_id: room, seq } = value;
    return typeof room === "string" &&
      typeof seq === "number" &&
      Number.isSafeInteger(seq) &&
      seq > 0 &&
      !OTHERS.has(type)
      ? { kind: "event", event: { type: null, room_id: room, seq } }
      : { kind: "unknown", type };
  }
  // The shapes are generated from the same schema as the types.
  return EVENTS.has(type)
    ? { kind: "event", event: frame as EventFrame }
    : { kind: "frame", frame: frame as Exclude<ServerFrame, EventFrame> };
}

/** A frame of ours as text. */
export function writeFrame(frame: ClientFrame): string {
  return JSON.stringify(frame);
}
