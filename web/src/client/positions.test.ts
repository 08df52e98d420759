// The rule of positions by itself: in whatever order, how often and how late events come, each is delivered once and in order.

import fc from "fast-check";
import { expect, it } from "vitest";
import { type PositionEffect, Positions } from "./positions";

const ROOM = "01935000-2222-7000-8000-000000000007";
const event = (seq: number) => ({ type: null, room_id: ROOM, seq }) as const;
const delivered = (effects: readonly PositionEffect[]): number[] =>
  effects.flatMap((effect) => (effect.do === "deliver" ? effect.events.map(({ seq }) => seq) : []));

it("delivers each once, in order, whatever the network does, as long as resume is answered", () => {
  const happening = fc.oneof(
    fc.record({ live: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ lost: fc.constant(true) }),
    fc.record({ resync: fc.constant(true) }),
    fc.record({ answer: fc.integer({ min: 0, max: 8 }) }),
  );
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 120 }), fc.integer({ min: 0, max: 10 }), (happenings, start) => {
      const positions = new Positions();
      const out: number[] = [];
      const resume: { from: number | null } = { from: null };
      let newest = start;
      positions.restore(ROOM, { epoch: 1, seq: start });
      const take = (): void => {
        for (const effect of positions.effects()) {
          if (effect.do === "deliver") out.push(...effect.events.map(({ seq }) => seq));
          if (effect.do === "resume") resume.from = effect.place.seq;
          expect(effect.do).not.toBe("reload");
        }
      };
      /** The server answers the resume with some of what there is. */
      const answer = (rows: number): void => {
        const { from } = resume;
        if (from === null) return;
        resume.from = null;
        const upto = Math.min(newest, from + rows);
        for (let seq = from + 1; seq <= upto; seq += 1) positions.event(event(seq));
        positions.resumed(ROOM, upto, upto < newest);
        take();
      };
      for (const one of happenings) {
        if ("live" in one) {
          // Somewhere ahead: what lies between was not sent to us.
          newest = Math.max(newest, start + one.live);
          positions.event(event(start + one.live));
        } else if ("lost" in one) {
          positions.lost();
          resume.from = null;
          positions.told(ROOM, { epoch: 1, seq: newest });
        } else if ("resync" in one) {
          positions.resync(ROOM);
        } else {
          // At least one row, as a server that has more always sends.
          answer(one.answer + 1);
        }
        take();
        expect(positions.place(ROOM)?.seq).toBe(start + out.length);
      }
      positions.lost();
      resume.from = null;
      positions.told(ROOM, { epoch: 1, seq: newest });
      take();
      for (let n = 0; n < 100; n += 1) answer(7);
      expect(out).toEqual(Array.from({ length: newest - start }, (_, n) => start + n + 1));
      expect(positions.busy()).toBe(0);
    }),
    { numRuns: 500 },
  );
});

it("numbers that one may not see are no hole once resume said so", () => {
  const positions = new Positions();
  positions.restore(ROOM, { epoch: 1, seq: 5 });
  positions.event(event(9));
  expect(positions.effects()).toEqual([{ do: "resume", roomId: ROOM, place: { epoch: 1, seq: 5 } }]);
  positions.event(event(8));
  positions.resumed(ROOM, 9, false);
  const effects = positions.effects();
  expect(delivered(effects)).toEqual([8, 9]);
  expect(positions.place(ROOM)).toEqual({ epoch: 1, seq: 9 });
});

it("a hole that resume does not fill is not asked for for ever: the newest page it is", () => {
  const positions = new Positions();
  positions.restore(ROOM, { epoch: 1, seq: 5 });
  positions.event(event(9));
  for (let n = 0; n < 3; n += 1) {
    expect(positions.effects().at(-1)?.do).toBe("resume");
    positions.resumed(ROOM, 5, false);
  }
  expect(positions.effects().at(-1)).toEqual({ do: "reload", roomId: ROOM, reason: "hole" });
  positions.event(event(10));
  positions.loaded(ROOM, { epoch: 2, seq: 9 });
  expect(delivered(positions.effects())).toEqual([10]);
  expect(positions.place(ROOM)).toEqual({ epoch: 2, seq: 10 });
});

it("a room that is not shown yet starts where it is, one that nobody told of is asked for", () => {
  const positions = new Positions();
  positions.told(ROOM, { epoch: 3, seq: 100 });
  expect(positions.effects()).toEqual([]);
  expect(positions.place(ROOM)).toEqual({ epoch: 3, seq: 100 });
  const other = ROOM.replace("7", "8");
  positions.event({ ...event(4), room_id: other });
  expect(positions.effects().map((effect) => effect.do)).toEqual(["unknownRoom", "deliver"]);
});

it.each(["not_member", "removed"])("reload because of %s: the room is forgotten", (reason) => {
  const positions = new Positions();
  positions.restore(ROOM, { epoch: 1, seq: 5 });
  positions.reload(ROOM, reason);
  expect(positions.effects()).toEqual([{ do: "gone", roomId: ROOM }]);
  expect(positions.place(ROOM)).toBeUndefined();
});

it("what waited behind a hole of another time is not delivered into the new one", () => {
  const positions = new Positions();
  positions.restore(ROOM, { epoch: 1, seq: 5 });
  positions.event(event(8));
  positions.lost();
  positions.effects();
  positions.told(ROOM, { epoch: 2, seq: 6 });
  positions.reload(ROOM, "epoch");
  positions.loaded(ROOM, { epoch: 2, seq: 7 });
  expect(delivered(positions.effects())).toEqual([]);
  expect(positions.place(ROOM)).toEqual({ epoch: 2, seq: 7 });
});
