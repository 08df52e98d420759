/* A person's or room's picture: initials on a colour that belongs to the id, so that it is the same everywhere. */

import type { ReactNode } from "react";

const HUES = 8;

/** The first letters of the first and last word, whole as a reader sees letters. */
export function initials(name: string): string {
  const words = name
    .trim()
    .split(/\s+/u)
    .filter((word) => word !== "");
  const first = firstLetter(words[0] ?? "?");
  if (/\p{Extended_Pictographic}/u.test(first)) return first;
  const last = words.length > 1 ? firstLetter(words.at(-1) ?? "") : "";
  return (first + last).toLocaleUpperCase();
}

function firstLetter(word: string): string {
  for (const part of new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(word)) {
    if (/[\p{L}\p{N}\p{Extended_Pictographic}]/u.test(part.segment)) return part.segment;
  }
  return "";
}

/** Which of the eight colours belongs to this id. */
export function hueOf(id: string): number {
  let sum = 0;
  for (let at = 0; at < id.length; at += 1) sum = (sum * 31 + id.charCodeAt(at)) >>> 0;
  return sum % HUES;
}

/** Decoration beside a name: hidden from screen readers, which read the name. */
export function Avatar({
  id,
  name,
  size,
  status,
}: {
  readonly id: string;
  readonly name: string;
  readonly size?: "small" | "large" | undefined;
  readonly status?: "online" | "away" | "offline" | undefined;
}): ReactNode {
  return (
    <span className="avatar" aria-hidden="true" data-size={size} data-hue={hueOf(id)}>
      <span className="avatar-letters">{initials(name)}</span>
      {status !== undefined && status !== "offline" && <span className="presence" data-status={status} />}
    </span>
  );
}
