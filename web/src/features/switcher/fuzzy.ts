// Finds things by a few letters of their name: letters in order, better when they stand together or begin words. Case and accents
// do not matter.

const MARKS = /\p{M}+/gu;
const EDGE = /[\s\-_./#@]/u;

const folded = new Map<string, string>();
const FOLDED_MAX = 5000;

/** The text without case and accents; remembered, since the same names are looked at with every key. */
export function fold(text: string): string {
  let found = folded.get(text);
  if (found === undefined) {
    found = text.normalize("NFKD").replaceAll(MARKS, "").toLocaleLowerCase();
    if (folded.size >= FOLDED_MAX) folded.clear();
    folded.set(text, found);
  }
  return found;
}

/** How well a query fits a name: higher is better, null not at all. */
export function score(name: string, query: string): number | null {
  const text = fold(name);
  const wanted = fold(query.trim()).replaceAll(/\s+/gu, "");
  if (wanted === "") return 0;
  const whole = text.indexOf(fold(query.trim()));
  if (whole === 0) return 1000 - text.length;
  if (whole > 0) return (EDGE.test(text[whole - 1] ?? "") ? 800 : 600) - text.length;
  let sum = 0;
  let at = -1;
  for (const letter of wanted) {
    const next = text.indexOf(letter, at + 1);
    if (next < 0) return null;
    if (next === at + 1) sum += 8;
    else if (next === 0 || EDGE.test(text[next - 1] ?? "")) sum += 6;
    else sum -= Math.min(next - at, 10) / 10;
    at = next + letter.length - 1;
  }
  return sum - text.length / 100;
}

/** Those that fit, best first; equals keep their order. */
export function fuzzy<T>(items: readonly T[], query: string, nameOf: (item: T) => string): T[] {
  const hits: { readonly item: T; readonly points: number; readonly place: number }[] = [];
  for (const [place, item] of items.entries()) {
    const points = score(nameOf(item), query);
    if (points !== null) hits.push({ item, points, place });
  }
  hits.sort((a, b) => b.points - a.points || a.place - b.place);
  return hits.map((hit) => hit.item);
}
