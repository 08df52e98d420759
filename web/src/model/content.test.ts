// The seam of contents: what goes out comes in again, and the server's own keys stay the server's.

import fc from "fast-check";
import { expect, it } from "vitest";
import { countChars, mayBeSent, open, seal, tidy } from "./content";

it("what is sealed is opened as it was", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", minLength: 1 }),
      fc.option(fc.dictionary(fc.stringMatching(/^x[a-z]*$/), fc.jsonValue(), { minKeys: 1 })),
      (text, extra) => {
        const content = extra ? { kind: "text" as const, text, extra } : { kind: "text" as const, text };
        const sealed = seal("r", content);
        // The server adds its own keys on the way.
        const metadata = { ...sealed.metadata, number: 1, epoch: 1, message_type: "text" };
        expect(open("r", sealed.content, metadata)).toEqual(content);
      },
    ),
  );
});

it("taken back is nothing, and what cannot be read says so", () => {
  expect(open("r", undefined, { deleted: true })).toBeNull();
  expect(open("r", "left over", { deleted: true })).toBeNull();
  expect(open("r", undefined, {})).toEqual({ kind: "unreadable", reason: "newer" });
});

it("counts as the server does", () => {
  expect(countChars("a😀👩‍🚀é")).toBe(6);
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => countChars(text) === Array.from(text).length));
});

it("knows what the server would refuse", () => {
  expect(mayBeSent("x", 1)).toBe(true);
  expect(mayBeSent("😀", 1)).toBe(true);
  expect(mayBeSent("a\nb\tc", 5)).toBe(true);
  for (const text of ["", " \u00a0\n", "xy", "\u0007", "\u0085", "\r"]) expect(mayBeSent(text, 1)).toBe(false);
  expect(tidy("a\r\nb\rc\ud800")).toBe("a\nb\nc\ufffd");
});
