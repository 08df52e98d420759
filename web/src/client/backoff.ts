// How long to wait before the next attempt to connect.

const FIRST_MS = 500;
const LONGEST_MS = 20_000;

/** The wait before attempt number `attempt` (from 0): it doubles up to 20 s, and chance (0 to 1) spreads it over its upper half. */
export function backoff(attempt: number, chance: number): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(whole * (0.5 + chance / 2));
}
