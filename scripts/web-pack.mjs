#!/usr/bin/env node
// Packs the built web client into one file for the server's binary: scripts/web-pack.mjs web/dist target/web/client.pack
//
// The pack is: "CWEB1\n", the length of the table (32 bits, big end first), the table as JSON, the bytes of all files. The table says for
// each file its address, type, hash, whether its name changes with its content, and where its plain, gzip and brotli forms stand.
// Compressing is done here, once and as well as it can be, so that the server never compresses. What gets no smaller stands there plain.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative, sep } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
};
// What is compressed already.
const DENSE = new Set([".ico", ".png", ".webp", ".woff2"]);

const [from, to] = process.argv.slice(2);
if (!from || !to) {
  console.error("usage: scripts/web-pack.mjs FOLDER FILE");
  process.exit(2);
}

function* walk(folder) {
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* walk(path);
    else yield path;
  }
}

const parts = [];
let at = 0;
const place = (bytes) => {
  parts.push(bytes);
  const spot = [at, bytes.length];
  at += bytes.length;
  return spot;
};

const files = [];
for (const file of walk(from)) {
  const ending = extname(file);
  if (ending === ".map") continue;
  const type = TYPES[ending];
  if (!type) throw new Error(`${file}: a type for ${ending} is missing in scripts/web-pack.mjs`);
  const bytes = readFileSync(file);
  const path = `/${relative(from, file).split(sep).join("/")}`;
  const entry = {
    path,
    type,
    hash: createHash("sha256").update(bytes).digest("hex").slice(0, 32),
    // vite writes what it names by content into this folder.
    immutable: path.startsWith("/assets/"),
    plain: place(bytes),
  };
  if (!DENSE.has(ending)) {
    const options = {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    };
    for (const [name, packed] of [["br", brotliCompressSync(bytes, options)], ["gzip", gzipSync(bytes, { level: 9 })]]) {
      if (packed.length < bytes.length) entry[name] = place(packed);
    }
  }
  files.push(entry);
}
if (!files.some((file) => file.path === "/index.html")) throw new Error(`${from} has no index.html: build the client first`);

const table = Buffer.from(JSON.stringify({ files }));
const head = Buffer.alloc(10);
head.write("CWEB1\n", "latin1");
head.writeUInt32BE(table.length, 6);
mkdirSync(dirname(to), { recursive: true });
// Whole or not at all: a build may read it at any time.
writeFileSync(`${to}.new`, Buffer.concat([head, table, ...parts]));
renameSync(`${to}.new`, to);
const sum = (name) => files.reduce((bytes, file) => bytes + (file[name] ?? file.plain)[1], 0);
console.log(`${to}: ${files.length} files, ${sum("plain")} bytes, ${sum("gzip")} as gzip, ${sum("br")} as brotli`);
