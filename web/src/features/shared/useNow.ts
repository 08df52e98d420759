// The time, again and again, for what counts down or grows old on the page.

import { useEffect, useState } from "react";

/** The time now, renewed every `period` milliseconds (null: never) until `until` is over. */
export function useNow(period: number | null, until?: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (period === null) return undefined;
    const timer = setInterval(() => {
      const at = Date.now();
      setNow(at);
      if (until !== undefined && at > until) clearInterval(timer);
    }, period);
    return () => clearInterval(timer);
  }, [period, until]);
  return now;
}
