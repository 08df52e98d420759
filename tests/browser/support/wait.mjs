// Waiting for what is expected: asking again until it is so. The watchdog ends what never comes; it is no limit on speed.

export const WATCHDOG = Number(process.env.WATCHDOG_MS ?? 90_000);

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Asks until the answer is neither null nor false; throws when it never is. */
export async function eventually(what, ask) {
  const end = Date.now() + WATCHDOG;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== false && answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await pause(20);
  }
}

/** Lets a time pass that the thing itself demands. Never instead of waiting for what is expected. */
export const waitOut = (ms) => pause(ms);
