// Writes `src/protocol/generated` from the server's own schemas (`schema/protocol/*.json`), so that there is one truth.
//
//   node scripts/generate.mjs           writes the files
//   node scripts/generate.mjs --check   fails when they are not what the schemas say
//
// For each schema: a TypeScript interface, and its shape as data for the reader (`read.ts`), which checks what comes in.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const schemas = new URL("../../schema/protocol/", import.meta.url);
const target = new URL("../src/protocol/generated/", import.meta.url);

const json = (name) => JSON.parse(readFileSync(new URL(name, schemas), "utf8"));
const asyncapi = json("asyncapi.json");
const openapi = json("openapi.json");
const table = json("codes.json");

/** What bodies of requests are made of: there `null` says something. */
const bodies = new Set(
  Object.values(openapi.paths)
    .flatMap((item) => Object.values(item))
    .map((operation) => operation.requestBody?.content?.["application/json"]?.schema?.$ref)
    .filter(Boolean)
    .map((ref) => ref.replace("#/components/schemas/", "")),
);

// `allOf` of objects is one object with all their fields.
const rest = openapi.components.schemas;
for (const [name, schema] of Object.entries(rest)) {
  if (schema.allOf) {
    const parts = schema.allOf.map((part) => (part.$ref ? rest[part.$ref.replace("#/components/schemas/", "")] : part));
    rest[name] = {
      type: "object",
      description: schema.description,
      properties: Object.assign({}, ...parts.map((part) => part.properties ?? {})),
      required: parts.flatMap((part) => part.required ?? []),
    };
  }
}

/** `server.chat` -> `ServerChat`. */
const typeName = (name) => name.replace(/(^|\.)([a-z])/g, (_, _dot, letter) => letter.toUpperCase());
const refName = (ref) => typeName(ref.replace("#/components/schemas/", ""));
const quoted = (text) => JSON.stringify(text);
const comment = (text, indent = "") =>
  text ? `${indent}/** ${text.replaceAll("*/", "* /").replace(/\s*\n\s*/g, `\n${indent} * `)} */\n` : "";

/** `{oneOf: [X, null]}` and `type: ["integer", "null"]` say that null is allowed, which the protocol takes for absent. */
function bare(schema) {
  if (schema.oneOf) {
    const rest = schema.oneOf.filter((one) => one.type !== "null");
    return rest.length === 1 ? rest[0] : { ...schema, oneOf: rest };
  }
  if (Array.isArray(schema.type)) {
    return { ...schema, type: schema.type.find((type) => type !== "null") };
  }
  return schema;
}

const nullable = (schema) =>
  (Array.isArray(schema.type) && schema.type.includes("null")) ||
  (schema.oneOf?.some((one) => one.type === "null") ?? false);

/** A list of words that may grow: whoever reads it must live with one that he does not know. */
const open = (schema) => schema.description === "The stable code.";

/** Events of a page are read one by one (`toFrame`), so that one of a newer server does not make the page shorter unseen. */
const isEvents = (s) => s.type === "array" && s.description === "Ascending by seq.";

function tsType(schema) {
  const s = bare(schema);
  if (isEvents(s)) return "readonly unknown[]";
  if (s.$ref) return refName(s.$ref);
  if (s.oneOf ?? s.anyOf) return (s.oneOf ?? s.anyOf).map(tsType).join(" | ");
  if (s.const !== undefined) return JSON.stringify(s.const);
  if (s.enum) return open(s) ? "string" : s.enum.map(quoted).join(" | ");
  switch (s.type) {
    case "string":
      return "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "array":
      return `readonly (${tsType(s.items)})[]`;
    case "object":
      return "JsonObject";
    default:
      return "unknown";
  }
}

/** The shape as the reader wants it; see `Shape` in `read.ts`. */
function shape(schema, kind) {
  const s = bare(schema);
  if (isEvents(s)) return `{ kind: "list", of: { kind: "any" } }`;
  if (s.$ref) return `{ kind: "ref", name: ${quoted(refName(s.$ref))} }`;
  if (s.oneOf ?? s.anyOf) return `{ kind: "oneOf", of: [${(s.oneOf ?? s.anyOf).map((one) => shape(one)).join(", ")}] }`;
  if (s.const !== undefined) return `{ kind: "const", is: ${JSON.stringify(s.const)} }`;
  if (s.enum && !open(s)) return `{ kind: "enum", of: [${s.enum.map(quoted).join(", ")}] }`;
  switch (s.type) {
    case "string":
      return s.format === "uuid"
        ? `{ kind: "uuid" }`
        : s.format === "date-time"
          ? `{ kind: "time" }`
          : `{ kind: "string" }`;
    case "integer":
      return `{ kind: "count" }`;
    case "number":
      return `{ kind: "number" }`;
    case "boolean":
      return `{ kind: "boolean" }`;
    case "array":
      return `{ kind: "list", of: ${shape(s.items)} }`;
    case "object":
      if (!s.properties || kind === "map") return `{ kind: "map" }`;
      return [
        `{ kind: "object", open: ${s.additionalProperties === true}, fields: {`,
        ...Object.entries(s.properties).map(
          ([name, field]) => `    ${name}: { is: ${shape(field)}, needed: ${(s.required ?? []).includes(name)} },`,
        ),
        "  } }",
      ].join("\n");
    default:
      return `{ kind: "any" }`;
  }
}

function tsInterface(name, schema) {
  const head = comment(schema.description);
  const s = bare(schema);
  if (s.type !== "object" || !s.properties) return `${head}export type ${typeName(name)} = ${tsType(s)};\n`;
  const fields = Object.entries(s.properties).map(([field, of]) => {
    const needed = (s.required ?? []).includes(field) && !nullable(of);
    const none = nullable(of) && bodies.has(name) ? " | null" : "";
    return `${comment(of.description ?? bare(of).description, "  ")}  readonly ${field}${needed ? "" : "?"}: ${tsType(of)}${none};\n`;
  });
  const more = s.additionalProperties === true ? "  readonly [key: string]: unknown;\n" : "";
  return `${head}export interface ${typeName(name)} {\n${fields.join("")}${more}}\n`;
}

const head = (from) =>
  `// Generated by scripts/generate.mjs from ${from}; do not edit. \`npm run generate\` after the server's schemas changed.\n\n`;

function framesFile() {
  const all = asyncapi.components.schemas;
  const of = (side) => Object.keys(all).filter((name) => name.startsWith(`${side}.`));
  const union = (side) =>
    of(side)
      .map((name) => `\n  | ${typeName(name)}`)
      .join("");
  let out = head("schema/protocol/asyncapi.json");
  out += `import type { JsonObject } from "../json";\nimport type { Shape } from "../read";\n\n`;
  for (const [name, schema] of Object.entries(all)) out += `${tsInterface(name, schema)}\n`;
  out += `/** Whatever the server may send. */\nexport type ServerFrame =${union("server")};\n\n`;
  out += `/** Whatever a client may send. */\nexport type ClientFrame =${union("client")};\n\n`;
  out += `/** The shapes of what comes in, by the name of the type. */\nexport const shapes = {\n`;
  for (const [name, schema] of Object.entries(all)) {
    if (!name.startsWith("client.")) out += `  ${typeName(name)}: ${shape(schema)},\n`;
  }
  out += `} as const satisfies Readonly<Record<string, Shape>>;\n\n`;
  out += `/** The shape of each frame of the server, by its \`type\`. */\nexport const serverFrames = {\n`;
  for (const name of of("server")) out += `  ${name.slice("server.".length)}: shapes.${typeName(name)},\n`;
  out += `} as const satisfies Readonly<Record<string, Shape>>;\n`;
  return out;
}

function codesFile() {
  let out = head("schema/protocol/codes.json");
  out += `/** Every code of an error, with the server's own words. */\nexport const codes = {\n`;
  for (const { code, sentence, advice, status } of table.errors) {
    out += `  ${code}: { says: ${quoted(sentence)}, advice: ${quoted(advice)}, status: ${status} },\n`;
  }
  out += `} as const;\n\n/** A stable code of an error. */\nexport type Code = keyof typeof codes;\n\n`;
  out += `/** Why the server closes a connection, and whether to come back by oneself. */\nexport const closeCodes = {\n`;
  for (const { code, reason, reconnect } of table.closes)
    out += `  ${code}: { reason: ${quoted(reason)}, reconnect: ${reconnect} },\n`;
  out += `} as const;\n\n/** A close code of the protocol. */\nexport type CloseCode = keyof typeof closeCodes;\n`;
  return out;
}

/** Every operation with its method, path, and the types of body, query and answer. */
function restFile() {
  const all = openapi.components.schemas;
  let out = head("schema/protocol/openapi.json");
  out += `import type { JsonObject } from "../json";\nimport type { Shape } from "../read";\n\n`;
  for (const [name, schema] of Object.entries(all)) out += `${tsInterface(name, schema)}\n`;
  out += `/** The shapes of answers, by the name of the type. */\nexport const restShapes = {\n`;
  for (const [name, schema] of Object.entries(all)) out += `  ${typeName(name)}: ${shape(schema)},\n`;
  out += `} as const satisfies Readonly<Record<string, Shape>>;\n\n`;
  const operations = [];
  let types = "";
  for (const [path, item] of Object.entries(openapi.paths)) {
    for (const [method, op] of Object.entries(item)) {
      if (!op.operationId) continue;
      const params = op.parameters ?? [];
      const ins = (where) => {
        const fields = params.filter((one) => one.in === where);
        if (fields.length === 0) return "undefined";
        return `{ ${fields.map((one) => `readonly ${quoted(one.name)}${one.required ? "" : "?"}: ${tsType(one.schema)}`).join("; ")} }`;
      };
      const body = op.requestBody?.content?.["application/json"]?.schema;
      const okay = Object.entries(op.responses).find(([status]) => status.startsWith("2"));
      const answer = okay?.[1].content?.["application/json"]?.schema;
      operations.push(
        `  ${op.operationId}: { method: ${quoted(method.toUpperCase())}, path: ${quoted(path)}, signedIn: ${!(op.security && op.security.length === 0)}, answer: ${answer ? quoted(tsType(answer)) : "null"} },\n`,
      );
      types += `${comment(op.summary ?? op.description, "  ")}  readonly ${op.operationId}: { readonly path: ${ins("path")}; readonly query: ${ins("query")}; readonly body: ${body ? tsType(body) : "undefined"}; readonly answer: ${answer ? tsType(answer) : "undefined"} };\n`;
    }
  }
  out += `/** What each call takes and gives. */\nexport interface Operations {\n${types}}\n\n`;
  out += `/** Where each call goes. */\nexport const operations = {\n${operations.join("")}} as const;\n`;
  return out;
}

const files = { "frames.ts": framesFile(), "codes.ts": codesFile(), "rest.ts": restFile() };

if (process.argv.includes("--check")) {
  const drifted = Object.entries(files).filter(([name, text]) => {
    const file = new URL(name, target);
    return !existsSync(file) || readFileSync(file, "utf8") !== text;
  });
  if (drifted.length > 0) {
    console.error(
      `Not what the server's schemas say: ${drifted.map(([name]) => name).join(", ")}. Run: npm run generate`,
    );
    process.exit(1);
  }
} else {
  mkdirSync(target, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(new URL(name, target), text);
  console.log(`wrote ${Object.keys(files).join(", ")} to ${fileURLToPath(target)}`);
}
