// What may be sent, counted as the server counts.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check, scalars, tidied } from "./text";

describe("length", () => {
  it("is that of Unicode scalar values", () => {
    expect(scalars("👩‍👩‍👧‍👦")).toBe(7);
    expect(scalars("é")).toBe(1);
    expect(scalars("e\u0301")).toBe(2);
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(scalars(text)).toBe(Array.from(text).length);
      }),
    );
  });
});

describe("a text", () => {
  it("of 4,096 fits, one more does not", () => {
    expect(check("😀".repeat(4096), 4096)).toEqual({ kind: "fine", left: 0 });
    expect(check("😀".repeat(4097), 4096)).toEqual({ kind: "over", count: 1 });
  });

  it("of white space is empty", () => {
    expect(check(" \n\t ", 10)).toEqual({ kind: "empty" });
  });

  it("may have newlines and tabs, and no other control characters", () => {
    expect(check("a\n\tb", 10).kind).toBe("fine");
    for (const bad of ["\u0000", "\u0007", "\u001b", "\u007f", "\u0085"])
      expect(check(`a${bad}b`, 10).kind).toBe("controls");
  });

  it("loses only empty lines around it", () => {
    expect(tidied("\r\n \n  indented\r\nlast  \n\n")).toBe("  indented\nlast");
  });
});
