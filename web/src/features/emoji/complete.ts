// Completion of `:name:` while writing: finds what is being named, and the emoji that fit.

import type { NamedEmoji } from "./table";

/** A name that is being written: from where, and what there is of it. */
export interface Asked {
  /** Place of the colon. */
  readonly from: number;
  readonly name: string;
}

const STARTED = /(?:^|[\s([{"'])(:([a-z0-9_+-]{2,32}))$/iu;
const FINISHED = /(?:^|[\s([{"'])(:([a-z0-9_+-]{1,32}):)$/iu;

/** The name that ends at the caret, when at least two letters of it are there. */
export function askedAt(text: string, caret: number): Asked | undefined {
  const found = STARTED.exec(text.slice(Math.max(0, caret - 40), caret));
  if (found?.[1] === undefined || found[2] === undefined) return undefined;
  return { from: caret - found[1].length, name: found[2].toLowerCase() };
}

/** The whole `:name:` that ends at the caret. */
export function finishedAt(text: string, caret: number): Asked | undefined {
  const found = FINISHED.exec(text.slice(Math.max(0, caret - 40), caret));
  if (found?.[1] === undefined || found[2] === undefined) return undefined;
  return { from: caret - found[1].length, name: found[2].toLowerCase() };
}

/** The emoji that fit best: names that begin so, then names that hold it, then words about it. */
export function matches(all: readonly NamedEmoji[], name: string, limit: number): NamedEmoji[] {
  const ranked: { readonly rank: number; readonly length: number; readonly entry: NamedEmoji }[] = [];
  for (const entry of all) {
    let rank = 9;
    let length = 99;
    for (const own of entry.names) {
      const next = own === name ? 0 : own.startsWith(name) ? 1 : own.includes(name) ? 2 : 9;
      if (next < rank || (next === rank && own.length < length)) {
        rank = next;
        length = own.length;
      }
    }
    if (rank === 9 && entry.tags.some((tag) => tag.startsWith(name))) rank = 3;
    if (rank < 9) ranked.push({ rank, length, entry });
  }
  ranked.sort((a, b) => a.rank - b.rank || a.length - b.length);
  return ranked.slice(0, limit).map((hit) => hit.entry);
}

/** The emoji of exactly this name. */
export function byName(all: readonly NamedEmoji[], name: string): NamedEmoji | undefined {
  return all.find((entry) => entry.names.includes(name));
}
