// Every colour of text can be read on every ground that it stands on, in every theme: 4.5:1, and 3:1 for what is not text.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const css = readFileSync(new URL("./tokens.css", import.meta.url), "utf8");
const controls = readFileSync(new URL("./controls.css", import.meta.url), "utf8");

/** The tokens of the block that begins with this selector. */
function tokens(selector: string): ReadonlyMap<string, string> {
  const from = css.indexOf(selector);
  expect(from, selector).toBeGreaterThanOrEqual(0);
  const block = css.slice(css.indexOf("{", from), css.indexOf("}", from));
  return new Map(
    [...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6});/gu)].map(([, name = "", value = ""]) => [name, value]),
  );
}

function luminance(hex: string): number {
  const channel = (at: number): number => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

function contrast(a: string, b: string): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

const GROUNDS = ["ground", "ground-2", "ground-raised"] as const;
const TEXTS = ["ink", "ink-2", "ink-3", "accent", "danger"] as const;
const PAIRS = [
  ["ink", "ground-3"],
  ["ink-2", "ground-3"],
  ["accent-ink", "accent"],
  ["accent-ink", "accent-strong"],
  ["accent-soft-ink", "accent-soft"],
  ["danger-ink", "danger"],
  ["danger-ink", "danger-strong"],
  ["ink", "danger-soft"],
  ["warn-ink", "warn-soft"],
  ["ground", "ink"],
] as const;
const MARKS = ["line-strong", "good", "away", "focus", "accent"] as const;

describe.each(['data-theme="light"', ":root:not([data-theme])", 'data-theme="dark"', 'data-theme="contrast"'])(
  "%s",
  (selector) => {
    const theme = tokens(selector);
    const of = (name: string): string => theme.get(name) ?? "#none";
    const far = selector.includes("contrast") ? 7 : 4.5;

    it("text on its grounds", () => {
      for (const text of TEXTS) {
        for (const ground of GROUNDS)
          expect(contrast(of(text), of(ground)), `${text} on ${ground}`).toBeGreaterThanOrEqual(far);
      }
      for (const [text, ground] of PAIRS)
        expect(contrast(of(text), of(ground)), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    });

    it("borders and marks on their grounds", () => {
      for (const mark of MARKS) {
        for (const ground of GROUNDS)
          expect(contrast(of(mark), of(ground)), `${mark} on ${ground}`).toBeGreaterThanOrEqual(3);
      }
    });
  },
);

it("both ways to be dark are the same", () => {
  expect(tokens(":root:not([data-theme])")).toEqual(tokens('data-theme="dark"'));
});

it("initials on their colours", () => {
  const hues = [...controls.matchAll(/data-hue="\d"\] \{\s*--hue-soft: (#\w{6});\s*--hue-deep: (#\w{6});/gu)];
  expect(hues).toHaveLength(8);
  for (const [, ground = "", text = ""] of hues) expect(contrast(ground, text)).toBeGreaterThanOrEqual(4.5);
});
