#!/usr/bin/env node
// Whether the first view of the web client is small enough: what a browser fetches before it shows something, as gzip.
//
// That is index.html, what it names (scripts, style sheets), and what those scripts import at once. What is loaded when it is needed
// (settings, the emoji table) does not count.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT = 300_000;
const folder = process.argv[2] ?? "web/dist";
const index = join(folder, "index.html");
if (!existsSync(index)) {
  console.error(`${index} is not there: run scripts/setup run`);
  process.exit(1);
}

const files = new Map();
const add = (path) => {
  if (files.has(path)) return;
  const bytes = readFileSync(join(folder, path));
  files.set(path, gzipSync(bytes, { level: 9 }).length);
  if (!path.endsWith(".js")) return;
  for (const [, name] of bytes.toString().matchAll(/(?:\bfrom|\bimport)\s*["'](\.{1,2}\/[^"']+)["']/g)) {
    add(posix.join(dirname(path), name));
  }
};
add("/index.html");
for (const [, path] of readFileSync(index, "utf8").matchAll(/<(?:script|link)[^>]*(?:src|href)="(\/[^"]+\.(?:js|css))"/g)) add(path);

const sum = [...files.values()].reduce((all, bytes) => all + bytes, 0);
for (const [path, bytes] of files) console.log(`${String(bytes).padStart(8)}  ${path}`);
console.log(`${String(sum).padStart(8)}  the first view as gzip, of ${LIMIT} allowed`);
process.exit(sum <= LIMIT ? 0 : 1);
