/*
 * Parses a message into blocks: paragraphs, fenced code, quotes, lists. A small markup on purpose: no headings, no tables, no
 * HTML, no link whose words hide its address. Whatever is not markup is text, so nothing that somebody wrote is ever lost.
 */

import type { Block, Inline } from "./ast";
import { parseInline } from "./inline";

/** Quotes inside quotes; what is deeper is shown at this depth. */
const QUOTE_DEPTH_MAX = 4;

const FENCE = /^\s{0,3}```([^\s`]{0,32})\s*$/u;
const QUOTE = /^\s{0,3}>\s?/u;
const BULLET = /^\s{0,8}[-*+]\s+(?=\S)/u;
const NUMBER = /^\s{0,8}(\d{1,6})[.)]\s+(?=\S)/u;

/** Parses a whole message. */
export function parseMessage(text: string): Block[] {
  return parseLines(text.replaceAll("\r\n", "\n").split("\n"), 0);
}

function parseLines(lines: readonly string[], depth: number): Block[] {
  const blocks: Block[] = [];
  let paragraph: string[] = [];
  const flush = (): void => {
    const text = paragraph.join("\n").trim();
    if (text !== "") blocks.push({ kind: "paragraph", children: parseInline(text) });
    paragraph = [];
  };

  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? "";
    const fence = FENCE.exec(line);
    if (fence !== null) {
      flush();
      const end = closingFence(lines, at + 1);
      blocks.push({ kind: "code", language: fence[1] ?? "", text: lines.slice(at + 1, end).join("\n") });
      at = end + 1;
    } else if (depth < QUOTE_DEPTH_MAX && QUOTE.test(line)) {
      flush();
      const end = endOf(lines, at, (next) => QUOTE.test(next));
      const inside = lines.slice(at, end).map((quoted) => quoted.replace(QUOTE, ""));
      const children = parseLines(inside, depth + 1);
      if (children.length > 0) blocks.push({ kind: "quote", children });
      at = end;
    } else if (BULLET.test(line) || NUMBER.test(line)) {
      flush();
      const mark = BULLET.test(line) ? BULLET : NUMBER;
      const end = endOf(lines, at, (next) => mark.test(next));
      blocks.push(list(lines.slice(at, end), mark));
      at = end;
    } else if (line.trim() === "") {
      flush();
      at += 1;
    } else {
      paragraph.push(line);
      at += 1;
    }
  }
  flush();
  return blocks;
}

function list(lines: readonly string[], mark: RegExp): Block {
  const ordered = mark === NUMBER;
  const start = ordered ? Number(NUMBER.exec(lines[0] ?? "")?.[1] ?? 1) : 1;
  const items: Inline[][] = lines.map((line) => parseInline(line.replace(mark, "").trim()));
  return { kind: "list", ordered, start, items };
}

/** The line of the closing fence, or one beyond the last line when there is none. */
function closingFence(lines: readonly string[], from: number): number {
  for (let at = from; at < lines.length; at += 1) if (/^\s{0,3}```\s*$/u.test(lines[at] ?? "")) return at;
  return lines.length;
}

function endOf(lines: readonly string[], from: number, belongs: (line: string) => boolean): number {
  let at = from;
  while (at < lines.length && belongs(lines[at] ?? "")) at += 1;
  return at;
}
