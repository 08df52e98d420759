// The switcher finds by a few letters, and the best comes first.

import { describe, expect, it } from "vitest";
import { fuzzy, score } from "./fuzzy";

const names = ["general", "kitchen", "Ops at night", "operations", "random", "Émilie du Châtelet", "محمد", "straße"];
const find = (query: string): string[] => fuzzy(names, query, (name) => name);

describe("a few letters", () => {
  it("begin a name, begin a word, stand within, or come in order", () => {
    expect(find("gen")[0]).toBe("general");
    expect(find("night")[0]).toBe("Ops at night");
    expect(find("oan")[0]).toBe("Ops at night");
    expect(find("op").slice(0, 2).sort()).toEqual(["Ops at night", "operations"].sort());
    expect(find("zzz")).toEqual([]);
  });

  it("need neither accents nor case", () => {
    expect(find("EMILIE cha")[0]).toBe("Émilie du Châtelet");
    expect(find("محم")[0]).toBe("محمد");
  });

  it("an empty query keeps the order", () => {
    expect(find(" ")).toEqual(names);
  });

  it("the whole beginning beats letters apart", () => {
    expect(score("general", "gen") ?? 0).toBeGreaterThan(score("gardening", "gen") ?? 0);
  });
});
