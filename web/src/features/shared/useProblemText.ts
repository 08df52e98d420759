// The sentence for a problem: what happened and what to do, and how long it lasts where that is known.

import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import type { Problem } from "@/model";
import { useNow } from "./useNow";

/** The sentence without the time. */
export function problemSentence(t: TFunction, problem: Problem): string {
  return t(`error.${problem.code}`);
}

/** The sentence for a problem, counting down where it says when one may go on. */
export function useProblemText(problem: Problem | null | undefined): string | undefined {
  const { t } = useTranslation();
  const until = problem?.retryAt;
  const now = useNow(until === undefined ? null : 1000, until);
  if (problem === null || problem === undefined) return undefined;
  const sentence = problemSentence(t, problem);
  const seconds = until === undefined ? 0 : Math.ceil((until - now) / 1000);
  return seconds > 0 ? `${sentence} ${t("error.retryAt", { seconds })}` : sentence;
}
