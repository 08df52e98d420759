/* Skeletons, empty states and notices. */

import type { ReactNode } from "react";
import type { IconName } from "./Icon";
import { Icon } from "./Icon";

/** Rows as they will be, while they are being fetched. Says so once to screen readers. */
export function Skeletons({
  rows,
  label,
  kind = "row",
}: {
  readonly rows: number;
  readonly label: string;
  readonly kind?: "row" | "message";
}): ReactNode {
  return (
    <div className="skeletons" data-kind={kind} role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, at) => (
        <div key={String(at)} className="skeleton-row" aria-hidden="true" data-step={at % 3}>
          <span className="skeleton skeleton-avatar" />
          <span className="skeleton-lines">
            <span className="skeleton skeleton-line" />
            <span className="skeleton skeleton-line" />
          </span>
        </div>
      ))}
    </div>
  );
}

/** Nothing here yet: says what can be done next. */
export function Empty({
  icon,
  title,
  level = 2,
  children,
  actions,
}: {
  readonly icon: IconName;
  readonly title: string;
  readonly level?: 1 | 2 | 3;
  readonly children?: ReactNode;
  readonly actions?: ReactNode;
}): ReactNode {
  const Title = `h${String(level)}` as "h1" | "h2" | "h3";
  return (
    <div className="empty">
      <span className="empty-icon">
        <Icon name={icon} />
      </span>
      <Title>{title}</Title>
      {children !== undefined && <p>{children}</p>}
      {actions !== undefined && <div className="empty-actions">{actions}</div>}
    </div>
  );
}

/** Something to know, in its place on the page. */
export function Notice({
  kind,
  children,
  action,
}: {
  readonly kind: "danger" | "warn" | "good";
  readonly children: ReactNode;
  readonly action?: ReactNode;
}): ReactNode {
  return (
    <div className="notice" data-kind={kind} role={kind === "danger" ? "alert" : "status"}>
      <Icon name={kind === "good" ? "check" : "alert"} />
      <div className="notice-text">{children}</div>
      {action}
    </div>
  );
}
