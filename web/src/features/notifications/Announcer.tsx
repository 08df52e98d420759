// Tells of new messages: to screen readers through a live region of its own, and to whoever does not look at the page by `useNotify`.
// The virtual list itself is no live region: scrolling would read out what comes and goes.

import { type ReactNode, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { isolate } from "@/i18n";
import { type News, selectOpenRoom } from "@/model";
import { useModel } from "../shared/hooks";
import { useNews } from "../shared/news";
import { newsWords, useNotify } from "./useNotify";

/** Messages that come together are told together. */
const GATHER_MS = 1000;
/** From so many on they are counted instead of read out. */
const COUNT_FROM = 4;
/** What was told is taken away again: it would outlive a message that is taken back. */
const GONE_MS = 5000;

/** The live region. */
export function Announcer(): ReactNode {
  const { t } = useTranslation();
  const open = useModel(selectOpenRoom);
  const [text, setText] = useState("");
  const waiting = useRef<News[]>([]);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const cleaner = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const notify = useNotify();

  const tell = (): void => {
    const all = waiting.current.splice(0);
    const first = all[0];
    timer.current = undefined;
    if (first === undefined) return;
    clearTimeout(cleaner.current);
    cleaner.current = setTimeout(() => setText(""), GONE_MS);
    if (all.length >= COUNT_FROM) {
      setText(t("timeline.announceMany", { count: all.length, room: isolate(first.title) }));
    } else {
      setText(all.map((news) => t("timeline.announce", newsWords(news))).join(" "));
    }
  };
  useNews((news) => {
    notify(news);
    // Only what stands before the reader is read out; other rooms show it in the list.
    if (news.roomId !== open || document.visibilityState !== "visible") return;
    waiting.current.push(news);
    timer.current ??= setTimeout(tell, GATHER_MS);
  });
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      clearTimeout(cleaner.current);
    },
    [],
  );

  return (
    <div className="visually-hidden" aria-live="polite" aria-atomic="true" data-testid="announcer">
      {text}
    </div>
  );
}
