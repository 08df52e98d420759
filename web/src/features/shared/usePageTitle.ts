// The title of the page, with how much is unread.

import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { selectUnreadTotal } from "@/model";
import { useModel } from "./hooks";

/** Sets the title of the page while the component is there. */
export function usePageTitle(title: string): void {
  const { t } = useTranslation();
  const unread = useModel(selectUnreadTotal);
  useEffect(() => {
    const name = title === "" ? t("common.appName") : `${title} · ${t("common.appName")}`;
    document.title = unread > 0 ? `(${unread}) ${name}` : name;
  }, [title, unread, t]);
}
