// The order of the list: by activity, but never under somebody's pointer or focus.

/** The order to show: the held one as far as it goes; rooms that it does not know come first, those that are gone go. */
export function heldOrder<T>(items: readonly T[], held: readonly string[], idOf: (item: T) => string): readonly T[] {
  const byId = new Map(items.map((item) => [idOf(item), item]));
  const kept: T[] = [];
  for (const id of held) {
    const item = byId.get(id);
    if (item !== undefined) {
      kept.push(item);
      byId.delete(id);
    }
  }
  return [...byId.values(), ...kept];
}
