// Reads what came in against the shapes of the protocol. It never throws, and it is kind to newer servers: fields that are not
// known are left out, optional ones of another form count as absent, list entries of another form are passed over. Only when
// something needed is missing is the whole refused.

import { isObject, type JsonObject } from "./json";

/** What a value must look like. Made by scripts/generate.mjs. */
export type Shape =
  | { readonly kind: "string" | "uuid" | "time" | "count" | "number" | "boolean" | "map" | "any" }
  | { readonly kind: "const"; readonly is: string | number | boolean }
  | { readonly kind: "enum"; readonly of: readonly string[] }
  | { readonly kind: "list"; readonly of: Shape }
  | { readonly kind: "oneOf"; readonly of: readonly Shape[] }
  | { readonly kind: "ref"; readonly name: string }
  | {
      readonly kind: "object";
      /** Unknown fields are kept. */
      readonly open: boolean;
      readonly fields: Readonly<Record<string, { readonly is: Shape; readonly needed: boolean }>>;
    };

/** Shapes by name, for `ref`. */
export type Shapes = Readonly<Record<string, Shape>>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const FORBIDDEN = new Set(["__proto__", "constructor", "prototype"]);

/** The value as far as it has this shape; undefined when it has not. */
export function read(value: unknown, shape: Shape, shapes: Shapes): unknown {
  switch (shape.kind) {
    case "any":
      return value;
    case "string":
      return typeof value === "string" ? value : undefined;
    case "uuid":
      return typeof value === "string" && UUID.test(value) ? value : undefined;
    case "time":
      return typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : undefined;
    case "count":
      return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
    case "number":
      return typeof value === "number" && Number.isFinite(value) ? value : undefined;
    case "boolean":
      return typeof value === "boolean" ? value : undefined;
    case "map":
      return isObject(value) ? value : undefined;
    case "const":
      return value === shape.is ? value : undefined;
    case "enum":
      return typeof value === "string" && shape.of.includes(value) ? value : undefined;
    case "list":
      return Array.isArray(value)
        ? value.map((one: unknown) => read(one, shape.of, shapes)).filter((one) => one !== undefined)
        : undefined;
    case "oneOf": {
      for (const one of shape.of) {
        const found = read(value, one, shapes);
        if (found !== undefined) {
          return found;
        }
      }
      return undefined;
    }
    case "ref": {
      const named = shapes[shape.name];
      return named === undefined ? undefined : read(value, named, shapes);
    }
    case "object":
      return isObject(value) ? readObject(value, shape, shapes) : undefined;
  }
}

function readObject(value: JsonObject, shape: Shape & { kind: "object" }, shapes: Shapes): JsonObject | undefined {
  const out: Record<string, unknown> = {};
  if (shape.open) {
    for (const [name, field] of Object.entries(value)) {
      if (!FORBIDDEN.has(name) && !Object.hasOwn(shape.fields, name)) {
        out[name] = field;
      }
    }
  }
  for (const [name, field] of Object.entries(shape.fields)) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    const found = given === undefined || given === null ? undefined : read(given, field.is, shapes);
    if (found !== undefined) {
      out[name] = found;
    } else if (field.needed) {
      return undefined;
    }
  }
  return out;
}
