// `:name:` while writing.

import { describe, expect, it } from "vitest";
import { askedAt, byName, finishedAt, matches } from "./complete";
import { named, picker } from "./table";

describe("what is being named", () => {
  it("begins with a colon at a word's edge and has two letters", () => {
    expect(askedAt("so :smi", 7)).toEqual({ from: 3, name: "smi" });
    expect(askedAt(":+1", 3)).toEqual({ from: 0, name: "+1" });
    for (const [text, caret] of [
      ["so :s", 5],
      ["10:30", 5],
      ["http://x", 8],
      ["so :smi le", 10],
    ] as const) {
      expect(askedAt(text, caret), text).toBeUndefined();
    }
  });

  it("is finished by the second colon", () => {
    expect(finishedAt("so :smile:", 10)).toEqual({ from: 3, name: "smile" });
    expect(finishedAt("10:30:", 6)).toBeUndefined();
  });
});

describe("the table", () => {
  it("knows the usual names, best first", () => {
    expect(byName(named, "smile")?.emoji).toBe("😄");
    expect(byName(named, "tada")?.emoji).toBe("🎉");
    expect(matches(named, "smi", 8)[0]?.names.some((name) => name.startsWith("smi"))).toBe(true);
    expect(matches(named, "qqqqq", 8)).toEqual([]);
  });

  it("has no skin tones or letters of flags of their own, and a category for each emoji", () => {
    const known = new Set(picker.categories.map((category) => category.index));
    for (const entry of picker.emojis) expect(known.has(entry.category), entry.label).toBe(true);
    expect(picker.emojis.some((entry) => entry.emoji === "🏽")).toBe(false);
    expect(picker.emojis.length).toBeGreaterThan(1500);
  });
});
