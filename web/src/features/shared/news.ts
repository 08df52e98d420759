// Messages of others as they come, for announcements and notifications.

import { createContext, useContext, useEffect, useEffectEvent } from "react";
import type { News } from "@/model";

/** How to listen; the app hands it in. */
export type Listen = (listener: (news: News) => void) => () => void;

export const NewsContext = createContext<Listen>(() => () => undefined);

/** Calls back for each new message of somebody else. */
export function useNews(onNews: (news: News) => void): void {
  const listen = useContext(NewsContext);
  const call = useEffectEvent(onNews);
  useEffect(() => listen((news) => call(news)), [listen]);
}
