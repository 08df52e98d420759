// An address that leads nowhere.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { HOME } from "@/features/shared/paths";
import { usePageTitle } from "@/features/shared/usePageTitle";
import { Empty } from "@/ui/Feedback";

/** The page. */
export function NotFound(): ReactNode {
  const { t } = useTranslation();
  usePageTitle(t("notFound.title"));
  return (
    <Empty
      icon="search"
      level={1}
      title={t("notFound.title")}
      actions={
        <Link className="button" data-kind="primary" to={HOME}>
          {t("room.toList")}
        </Link>
      }
    >
      {t("notFound.text")}
    </Empty>
  );
}
