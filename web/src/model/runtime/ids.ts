// Fresh UUIDv7s. They ascend within a tab, also within a millisecond, so that messages sort by their ids.

import { v7 } from "uuid";

/** Makes ids by this clock and this chance (0 to 1). */
export function idMaker(now: () => number, random: () => number): () => string {
  let last = 0;
  let counter = 0;
  return () => {
    const at = now();
    if (at > last) {
      last = at;
      counter = Math.floor(random() * 0x1000000);
    } else {
      // The same millisecond, or a clock that went back: the counter tells the order.
      counter += 1;
    }
    const bytes = Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256));
    return v7({ msecs: last, seq: counter, random: bytes });
  };
}
