/*
 * Parses what stands within a paragraph: `code`, **bold**, *italic*, ***both***, _italic_, ~~struck~~, links, line breaks.
 * One pass with a stack; the time grows with the length of the text only, whatever is in it. A mark without its partner is
 * text. The same kind of mark is never open twice, so nesting has a bound.
 */

import type { Inline } from "./ast";
import { withLinks } from "./links";

type Styled = "strong" | "emphasis" | "strike";
type Mark = "**" | "*" | "_" | "~~";
interface Frame {
  readonly mark: Mark;
  readonly before: Inline[];
}

const KIND: Readonly<Record<Mark, Styled>> = { "**": "strong", "*": "emphasis", _: "emphasis", "~~": "strike" };
const WORD = /[\p{L}\p{N}\p{M}_]/u;
const SPACE = /\s/u;
const TOKEN = /`+|\*{1,3}|_|~~|\n|https?:\/\/\S+/giu;

/** Parses the text of one paragraph, which may have several lines. */
export function parseInline(text: string): Inline[] {
  const stack: Frame[] = [];
  let out: Inline[] = [];
  let pending = "";
  const runs = codeRuns(text);

  const flush = (): void => {
    if (pending !== "") out.push(...withLinks(pending));
    pending = "";
  };
  const open = (mark: Mark): void => {
    flush();
    stack.push({ mark, before: out });
    out = [];
  };
  /** Closes down to the frame of this mark; marks opened inside and not closed are text. */
  const close = (mark: Mark): void => {
    flush();
    for (;;) {
      const frame = stack.pop();
      if (frame === undefined) return;
      if (frame.mark === mark) {
        frame.before.push({ kind: KIND[mark], children: merge(out) });
        out = frame.before;
        return;
      }
      out = unopened(frame, out);
    }
  };

  let at = 0;
  const token = new RegExp(TOKEN);
  for (let found = token.exec(text); found !== null; found = token.exec(text)) {
    const [word] = found;
    const start = found.index;
    pending += text.slice(at, start);
    at = start + word.length;
    if (word === "\n") {
      flush();
      out.push({ kind: "break" });
    } else if (word.startsWith("`")) {
      const end = runs.closing(start, word.length);
      if (end === undefined) {
        pending += word;
      } else {
        flush();
        out.push({ kind: "code", text: trimCode(text.slice(at, end)) });
        at = end + word.length;
        token.lastIndex = at;
      }
    } else if (word === "***") {
      const may = edges(charBefore(text, start), charAfter(text, at));
      const standing = stack.map((frame) => frame.mark).filter((mark) => mark === "*" || mark === "**");
      if (may.close && standing.length === 2) {
        for (const mark of standing.reverse()) close(mark);
      } else if (may.open && standing.length === 0) {
        open("**");
        open("*");
      } else {
        pending += word;
      }
    } else if (isMark(word)) {
      const before = charBefore(text, start);
      const after = charAfter(text, at);
      const opened = stack.some((frame) => frame.mark === word);
      const may = edges(before, after);
      if (opened && may.close && (out.length > 0 || pending !== "")) close(word);
      else if (!opened && may.open) open(word);
      else pending += word;
    } else {
      // An address: its underscores and stars are its own.
      const taken = word.replace(/[*_~`]+$/u, "");
      pending += taken;
      at = start + taken.length;
      token.lastIndex = at;
    }
  }
  pending += text.slice(at);
  flush();
  for (let frame = stack.pop(); frame !== undefined; frame = stack.pop()) out = unopened(frame, out);
  return merge(out);
}

function isMark(word: string): word is Mark {
  return Object.hasOwn(KIND, word);
}

function unopened(frame: Frame, inside: readonly Inline[]): Inline[] {
  // push in place: `before` is not used by anybody else any more.
  frame.before.push({ kind: "text", text: frame.mark });
  for (const part of inside) frame.before.push(part);
  return frame.before;
}

/** Whether a mark between these two characters may open or close: at the edge of a word, with text on its inner side. */
function edges(before: string, after: string): { open: boolean; close: boolean } {
  const spaceBefore = before === "" || SPACE.test(before);
  const spaceAfter = after === "" || SPACE.test(after);
  return {
    open: !spaceAfter && !WORD.test(before),
    close: !spaceBefore && !WORD.test(after),
  };
}

function charBefore(text: string, at: number): string {
  const low = text.slice(Math.max(0, at - 2), at);
  const first = low.codePointAt(0) ?? 0;
  return first > 0xffff ? low : low.slice(-1);
}

function charAfter(text: string, at: number): string {
  const point = text.codePointAt(at);
  return point === undefined ? "" : String.fromCodePoint(point);
}

/** Where runs of backticks stand, by length: a run is closed by the next one of the same length. */
function codeRuns(text: string): { closing: (start: number, length: number) => number | undefined } {
  const places = new Map<number, number[]>();
  for (const run of text.matchAll(/`+/gu)) {
    const list = places.get(run[0].length);
    if (list === undefined) places.set(run[0].length, [run.index]);
    else list.push(run.index);
  }
  const cursor = new Map<number, number>();
  return {
    closing: (start, length) => {
      const list = places.get(length) ?? [];
      let next = cursor.get(length) ?? 0;
      while (next < list.length && (list[next] ?? 0) <= start) next += 1;
      cursor.set(length, next);
      return list[next];
    },
  };
}

function trimCode(code: string): string {
  const flat = code.replaceAll("\n", " ");
  return flat.length > 2 && flat.startsWith(" ") && flat.endsWith(" ") && flat.trim() !== "" ? flat.slice(1, -1) : flat;
}

/** Joins neighbouring texts. */
function merge(parts: readonly Inline[]): Inline[] {
  const out: Inline[] = [];
  for (const part of parts) {
    const last = out.at(-1);
    if (part.kind === "text" && last?.kind === "text")
      out[out.length - 1] = { kind: "text", text: last.text + part.text };
    else out.push(part);
  }
  return out;
}
