// The list does not move under somebody's pointer.

import { describe, expect, it } from "vitest";
import { heldOrder } from "./order";

const same = (id: string): string => id;

describe("a held order", () => {
  it("stays, whatever becomes newer", () => {
    expect(heldOrder(["c", "a", "b"], ["a", "b", "c"], same)).toEqual(["a", "b", "c"]);
  });

  it("lets in what is new and lets go what is gone", () => {
    expect(heldOrder(["x", "c", "a"], ["a", "b", "c"], same)).toEqual(["x", "a", "c"]);
  });
});
