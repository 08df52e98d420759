// What the list knows of its rows.

import { describe, expect, it } from "vitest";
import type { Message, Row } from "@/model";
import { countBelow, isPrepended, lastStop, nextStop, placeOf, seqAt } from "./rows";

function message(key: string, seq?: number, own = false): Row {
  const body: Message = {
    key,
    roomId: "r",
    userId: "u",
    at: 0,
    content: { kind: "text", text: key },
    state: seq === undefined ? "waiting" : "sent",
    ...(seq === undefined ? {} : { seq }),
  };
  return { kind: "message", key, message: body, head: true, own };
}
const day = (key: string): Row => ({ kind: "day", key, at: 0 });
const line: Row = { kind: "unread", key: "unread", count: 2 };

const rows = [day("d1"), message("a", 1), message("b", 2), line, message("c", 4), message("mine", undefined, true)];

describe("rows in front", () => {
  it("are seen although the day moves up with them", () => {
    expect(isPrepended(rows, [day("d1"), message("z", 0), ...rows.slice(1)])).toBe(true);
    expect(isPrepended(rows, [day("d0"), message("z", 0), ...rows])).toBe(true);
  });

  it("are not what comes at the end or in the middle", () => {
    expect(isPrepended(rows, [...rows, message("d", 5)])).toBe(false);
    expect(
      isPrepended(
        rows,
        rows.filter((row) => row.kind !== "unread"),
      ),
    ).toBe(false);
    expect(isPrepended([], rows)).toBe(false);
  });
});

describe("the arrow keys", () => {
  it("stop at messages only", () => {
    expect(nextStop(rows, 2, 1)).toBe(4);
    expect(nextStop(rows, 4, -1)).toBe(2);
    expect(nextStop(rows, 1, -1)).toBe(-1);
    expect(lastStop(rows)).toBe(5);
    expect(lastStop([day("d1")])).toBe(-1);
  });
});

describe("what is read", () => {
  it("is the newest stored row on screen", () => {
    expect(seqAt(rows, 5)).toBe(4);
    expect(seqAt(rows, 3)).toBe(2);
    expect(seqAt(rows, 0)).toBeUndefined();
    expect(seqAt(rows, 99)).toBe(4);
  });

  it("what is new below counts others only", () => {
    expect(countBelow(rows, "a")).toBe(2);
    expect(countBelow(rows, "c")).toBe(0);
    expect(countBelow(rows, null)).toBe(0);
    expect(placeOf(rows, "nowhere")).toBe(-1);
  });
});
