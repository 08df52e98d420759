// What may be sent: counted and checked as the server does it, in Unicode scalar values.

/** Control characters that the server refuses; newline and tab may stand. */
const CONTROLS = /(?![\n\t])\p{Cc}/u;

/** How many characters are left when the counter appears. */
export const COUNTER_FROM = 200;

/** Length in Unicode scalar values, as the server counts: an emoji of several parts counts its parts. */
export function scalars(text: string): number {
  // Whoever writes a short text pays nothing for the exact count.
  let count = text.length;
  for (let at = 0; at < text.length - 1; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit >= 0xd800 && unit <= 0xdbff) {
      const next = text.charCodeAt(at + 1);
      if (next >= 0xdc00 && next <= 0xdfff) {
        count -= 1;
        at += 1;
      }
    }
  }
  return count;
}

/** The text as it is sent: same line ends everywhere, no empty lines around it. */
export function tidied(text: string): string {
  return text
    .replaceAll(/\r\n?/gu, "\n")
    .replace(/^(?:[^\S\n]*\n)+/u, "")
    .trimEnd();
}

/** Why a text cannot be sent, or how much room is left. */
export type Check =
  | { readonly kind: "empty" }
  | { readonly kind: "controls" }
  | { readonly kind: "over"; readonly count: number }
  | { readonly kind: "fine"; readonly left: number };

/** Looks at a text before it is sent. */
export function check(text: string, limit: number): Check {
  const ready = tidied(text);
  if (ready.trim() === "") return { kind: "empty" };
  const left = limit - scalars(ready);
  if (left < 0) return { kind: "over", count: -left };
  if (CONTROLS.test(ready)) return { kind: "controls" };
  return { kind: "fine", left };
}
