// Tells whoever does not look at the page of a new message: by a notification of the browser, by a tone, by both or by nothing, as the
// person has chosen.

import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { isolate } from "@/i18n";
import { type News, selectSettings } from "@/model";
import { plainText } from "../markup/plain";
import { useModel } from "../shared/hooks";
import { roomPath } from "../shared/paths";
import { soundNews } from "./tone";

/** News in the words that are told. */
export function newsWords(news: News): { name: string; room: string; text: string } {
  const { content } = news.message;
  const text = content?.kind === "text" ? content.text : "";
  return { name: isolate(news.person.displayName), room: isolate(news.title), text: plainText(text) };
}

/** Answers what tells of one message. */
export function useNotify(): (news: News) => void {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { notifications, sounds } = useModel(selectSettings);

  const show = (news: News): void => {
    if (!("Notification" in window) || Notification.permission !== "granted") return;
    const { name, room, text } = newsWords(news);
    const direct = news.title === news.person.displayName;
    try {
      const shown = new Notification(direct ? name : t("notify.title", { name, room }), {
        body: text,
        // One for each room: the next replaces the one before.
        tag: news.roomId,
        icon: "/icons/icon-192.png",
        // Where our own tone sounds, the system's beside it would be one too many.
        silent: sounds,
      });
      shown.onclick = () => {
        window.focus();
        void navigate(roomPath(news.roomId));
        shown.close();
      };
    } catch {
      // Some phones allow notifications only from a service worker; the list shows the message all the same.
    }
  };

  return (news) => {
    if (!news.hidden || (document.visibilityState === "visible" && document.hasFocus())) return;
    if (notifications) show(news);
    if (sounds) soundNews();
  };
}
