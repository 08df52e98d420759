// A short, soft tone for news. It is made here, note by note: no file is fetched, so the server's policy has to allow none.
// Browsers let a page sound only after somebody has done something on it; before that there is silence, and no complaint on the console.

/** Two notes, the second a fourth above the first. */
const NOTES = [
  { hertz: 659.25, at: 0 },
  { hertz: 880, at: 0.1 },
] as const;
/** How loud, of 1. */
const LOUD = 0.08;
/** A note comes and goes in so many seconds: at once it would click. */
const RISE = 0.015;
const FALL = 0.3;
/** News that come quickly sound once in this time, over all tabs of this browser. */
const GAP_MS = 3000;

const pause = (ms: number): Promise<void> =>
  new Promise((done) => {
    setTimeout(done, ms);
  });

/** Sounds now. */
export async function soundTone(): Promise<void> {
  if (!("AudioContext" in window)) return;
  if ("userActivation" in navigator && !navigator.userActivation.hasBeenActive) return;
  const context = new AudioContext();
  const begin = context.currentTime + 0.02;
  for (const { hertz, at } of NOTES) {
    const note = new OscillatorNode(context, { type: "sine", frequency: hertz });
    const volume = new GainNode(context, { gain: 0 });
    note.connect(volume).connect(context.destination);
    volume.gain.setValueAtTime(0, begin + at);
    volume.gain.linearRampToValueAtTime(LOUD, begin + at + RISE);
    volume.gain.setTargetAtTime(0, begin + at + RISE, FALL / 5);
    note.start(begin + at);
    note.stop(begin + at + FALL);
  }
  // By the clock and not by the last note's end: where nothing may sound, that never comes, and the device would be held for ever.
  await pause(1000);
  await context.close();
}

/** Sounds for news, unless it just did. */
export function soundNews(): void {
  void navigator.locks.request("causerie-tone", { ifAvailable: true }, async (lock) => {
    if (lock === null) return;
    await Promise.all([soundTone(), pause(GAP_MS)]);
  });
}
