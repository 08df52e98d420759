// Times in the user's zone and language. Formatters are kept, since making one is slow.

/** The browser's own kind of the app's language (en-GB for en), since times are written differently from place to place. */
function localeOf(language: string): string {
  return navigator.languages.find((wish) => wish.toLowerCase().split("-")[0] === language) ?? language;
}

const kept = new Map<string, Intl.DateTimeFormat>();

function formatter(language: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${language}|${JSON.stringify(options)}`;
  let found = kept.get(key);
  if (found === undefined) {
    found = new Intl.DateTimeFormat(localeOf(language), options);
    kept.set(key, found);
  }
  return found;
}

/** Hours and minutes. */
export function timeOfDay(at: number, language: string): string {
  return formatter(language, { hour: "numeric", minute: "2-digit" }).format(at);
}

/** Everything, for titles and screen readers. */
export function fullTime(at: number, language: string): string {
  return formatter(language, { dateStyle: "full", timeStyle: "short" }).format(at);
}

/** A day without time. */
export function dateOnly(at: number, language: string): string {
  return formatter(language, { dateStyle: "long" }).format(at);
}

/** How many calendar days of the user's zone lie between the two. */
export function daysBetween(from: number, to: number): number {
  const start = new Date(from);
  const end = new Date(to);
  // By the calendar, not by 24 hours: days have 23 or 25 of them when clocks change.
  const a = Date.UTC(start.getFullYear(), start.getMonth(), start.getDate());
  const b = Date.UTC(end.getFullYear(), end.getMonth(), end.getDate());
  return Math.round((b - a) / 86_400_000);
}

/** The words of a day separator; `today` and `yesterday` are the translations. */
export function dayLabel(
  at: number,
  now: number,
  language: string,
  words: { readonly today: string; readonly yesterday: string },
): string {
  const days = daysBetween(at, now);
  if (days === 0) return words.today;
  if (days === 1) return words.yesterday;
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return formatter(language, {
    weekday: "long",
    day: "numeric",
    month: "long",
    ...(sameYear ? {} : { year: "numeric" as const }),
  }).format(at);
}

/** Short, for the room list: the time today, the weekday this week, otherwise the date. */
export function shortWhen(at: number, now: number, language: string): string {
  const days = daysBetween(at, now);
  if (days === 0) return timeOfDay(at, language);
  if (days > 0 && days < 7) return formatter(language, { weekday: "short" }).format(at);
  return formatter(language, { day: "numeric", month: "short" }).format(at);
}

/** "3 minutes ago", in the language. */
export function ago(at: number, now: number, language: string): string {
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const seconds = Math.round((at - now) / 1000);
  const steps: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ];
  for (const [unit, size] of steps)
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  return relative.format(Math.min(seconds, 0), "second");
}
