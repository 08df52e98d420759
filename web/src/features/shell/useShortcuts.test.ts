// Alt and an arrow: to the conversation before or after, in the order of the list.

import { describe, expect, it } from "vitest";
import { selectRoomList } from "@/model";
import { createFixtureModel } from "@/model/fixtures";
import { neighbour } from "./useShortcuts";

const items = selectRoomList(createFixtureModel().store.getState());
const order = [
  ...items.filter((item) => item.room.type !== "direct"),
  ...items.filter((item) => item.room.type === "direct"),
];
const at = (place: number): string => order.at(place)?.room.roomId ?? "";

describe("the neighbour", () => {
  it("is the next one, and round at the ends", () => {
    expect(neighbour(items, at(0), 1, false)?.room.roomId).toBe(at(1));
    expect(neighbour(items, at(1), -1, false)?.room.roomId).toBe(at(0));
    expect(neighbour(items, at(-1), 1, false)?.room.roomId).toBe(at(0));
    expect(neighbour(items, at(0), -1, false)?.room.roomId).toBe(at(-1));
  });

  it("is the first or the last when none is open", () => {
    expect(neighbour(items, null, 1, false)?.room.roomId).toBe(at(0));
    expect(neighbour(items, null, -1, false)?.room.roomId).toBe(at(-1));
  });

  it("is an unread one when asked", () => {
    const next = neighbour(items, at(1), 1, true);
    expect(next?.unread).toBeGreaterThan(0);
  });

  it("is nobody in an empty list", () => {
    expect(neighbour([], null, 1, false)).toBeUndefined();
  });
});
