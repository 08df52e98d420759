// The head of a pane: back on phones, title, actions.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { IconButton } from "@/ui/Button";
import { HOME } from "./paths";

/** The head. `back` is where the arrow leads; it is hidden where the list stands beside. */
export function PaneHead({
  title,
  level,
  back = HOME,
  backClass = "wide-hidden",
  lead,
  sub,
  actions,
}: {
  readonly title: string;
  readonly level: 1 | 2;
  readonly back?: string;
  /** Where the arrow is hidden: where what it leads to stands beside. */
  readonly backClass?: string;
  readonly lead?: ReactNode;
  readonly sub?: ReactNode;
  readonly actions?: ReactNode;
}): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const Title = level === 1 ? "h1" : "h2";
  return (
    <div className="pane-head">
      <IconButton icon="back" label={t("common.back")} className={backClass} onPress={() => void navigate(back)} />
      {lead}
      <div className="pane-title">
        <Title className="truncate">
          <bdi>{title}</bdi>
        </Title>
        {sub !== undefined && <p className="truncate">{sub}</p>}
      </div>
      {actions}
    </div>
  );
}
