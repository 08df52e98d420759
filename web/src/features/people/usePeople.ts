// Looks for people while somebody writes: waits until the keys rest, and passes over answers that come too late.

import { useEffect, useState } from "react";
import { findPeople, type Person, type Problem } from "@/model";
import { useModelDispatch } from "../shared/hooks";
import { fold } from "../switcher/fuzzy";

const REST_MS = 200;

/** What was found for a query. */
export interface Found {
  readonly people: readonly Person[];
  readonly query: string;
  readonly loading: boolean;
  readonly problem: Problem | null;
}

const NOTHING: Found = { people: [], query: "", loading: false, problem: null };

const fits = ({ username, displayName }: Person, text: string): boolean =>
  [username, displayName].some((name) => fold(name).includes(fold(text)));

/** People whose name fits; `empty` says whether an empty query means everybody. */
export function usePeople(query: string, empty: "all" | "nobody"): Found {
  const dispatch = useModelDispatch();
  const [found, setFound] = useState<Found>(NOTHING);
  const text = query.trim();
  const wanted = text !== "" || empty === "all";

  useEffect(() => {
    if (!wanted) return undefined;
    let here = true;
    const timer = setTimeout(
      () => {
        void dispatch(findPeople(text)).then((result) => {
          if (!here) return;
          if (result.ok) setFound({ people: result.value, query: text, loading: false, problem: null });
          else setFound({ people: [], query: text, loading: false, problem: result.problem });
        });
      },
      text === "" ? 0 : REST_MS,
    );
    return () => {
      here = false;
      clearTimeout(timer);
    };
  }, [dispatch, text, wanted]);

  if (!wanted) return NOTHING;
  const fresh = found.query === text && found !== NOTHING;
  if (fresh) return found;
  // Until the answer is there: who of those already found still fits. Enter takes the first one, so nobody else may stand there.
  return { ...found, people: found.people.filter((person) => fits(person, text)), loading: true };
}
