// Every language has every key with every plural form that it needs, every code of an error has a sentence, and sentences use the
// names that the app gives them.

import { describe, expect, it } from "vitest";
import { connectionReasons, errorCodes } from "@/model";
import { ar } from "./ar";
import { en } from "./en";

const FORM = /_(?:zero|one|two|few|many|other)$/u;

function flat(words: object, prefix = ""): Map<string, string> {
  const all = new Map<string, string>();
  for (const [key, value] of Object.entries(words)) {
    if (typeof value === "string") all.set(prefix + key, value);
    else for (const [inner, text] of flat(value as object, `${prefix}${key}.`)) all.set(inner, text);
  }
  return all;
}

const marks = (text: string): string[] => [...new Set(text.match(/\{\{\w+\}\}|<\d\/>/gu) ?? [])].sort();

const english = flat(en);
const arabic = flat(ar);

describe("Arabic", () => {
  it("has the keys of English, no more and no less", () => {
    const base = (all: Map<string, string>): string[] =>
      [...new Set([...all.keys()].map((key) => key.replace(FORM, "")))].sort();
    expect(base(arabic)).toEqual(base(english));
  });

  it("has all its plural forms", () => {
    const categories = new Intl.PluralRules("ar").resolvedOptions().pluralCategories;
    const counted = [...english.keys()].filter((key) => key.endsWith("_other")).map((key) => key.replace(FORM, ""));
    expect(counted.length).toBeGreaterThan(10);
    for (const key of counted)
      for (const form of categories) expect(arabic.has(`${key}_${form}`), `${key}_${form}`).toBe(true);
  });

  it("puts in what English puts in", () => {
    for (const [key, text] of english) {
      const other = arabic.get(key) ?? arabic.get(`${key.replace(FORM, "")}_other`) ?? "";
      if (!key.endsWith("_one")) expect(marks(other), key).toEqual(marks(text));
    }
  });
});

describe("English", () => {
  it("has a sentence for every code of an error", () => {
    for (const code of errorCodes) expect(english.get(`error.${code}`), code).toMatch(/\.$/u);
  });

  it("has a sentence for every reason of the connection", () => {
    for (const reason of connectionReasons) expect(english.get(`connection.${reason}`), reason).toMatch(/\.$/u);
  });
});
