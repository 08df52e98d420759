// What happened in a room and is no message, and the lines between messages: days, the unread line, the beginning.

import { memo, type ReactNode } from "react";
import { Trans, useTranslation } from "react-i18next";
import { dayLabel, fullTime, timeOfDay } from "@/i18n/time";
import type { Person, RoomNotice } from "@/model";

/** Somebody came, went, was given a role, changed the room. */
export const NoticeRow = memo(function NoticeRow({
  notice,
  by,
  subject,
  focusable,
}: {
  readonly notice: RoomNotice;
  readonly by: Person;
  readonly subject: Person;
  readonly focusable: boolean;
}): ReactNode {
  const { t, i18n } = useTranslation();
  const role = notice.role === undefined ? "" : t(`timeline.role.${notice.role}`);
  return (
    <article className="happened" data-row data-key={notice.key} tabIndex={focusable ? 0 : -1}>
      <span>
        <Trans
          t={t}
          i18nKey={`timeline.notice.${wordsFor(notice)}`}
          values={{ role }}
          components={[<bdi key="by">{by.displayName}</bdi>, <bdi key="subject">{subject.displayName}</bdi>]}
        />
      </span>
      <time dateTime={new Date(notice.at).toISOString()} title={fullTime(notice.at, i18n.language)}>
        {timeOfDay(notice.at, i18n.language)}
      </time>
    </article>
  );
});

/** Which sentence says it; of several settings that changed at once the first one that has a sentence. */
function wordsFor(notice: RoomNotice): RoomNotice["what"] | "created" | "renamed" | "described" {
  if (notice.what !== "settings") return notice.what;
  const changed = (notice.detail ?? "").split(",");
  if (changed.includes("created")) return "created";
  if (changed.includes("name")) return "renamed";
  return changed.includes("description") ? "described" : "settings";
}

/** A new day. */
export function DayRow({ at, now }: { readonly at: number; readonly now: number }): ReactNode {
  const { t, i18n } = useTranslation();
  const words = { today: t("timeline.today"), yesterday: t("timeline.yesterday") };
  return (
    <h2 className="day">
      <time dateTime={new Date(at).toISOString().slice(0, 10)}>{dayLabel(at, now, i18n.language, words)}</time>
    </h2>
  );
}

/** From here on nothing was read when the room was opened. */
export function UnreadRow(): ReactNode {
  const { t } = useTranslation();
  return <h2 className="unread-line">{t("timeline.unread")}</h2>;
}

/** The room begins here, or what was before is gone. */
export function StartRow({
  title,
  direct,
  lost,
  text,
}: {
  readonly title: string;
  readonly direct: boolean;
  readonly lost: boolean;
  readonly text: string;
}): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="beginning">
      <h2>
        <bdi>{title}</bdi>
      </h2>
      <p>
        {lost ? (
          t("timeline.lost")
        ) : (
          <Trans
            t={t}
            i18nKey={direct ? "timeline.startDirect" : "timeline.start"}
            components={[<bdi key="room">{title}</bdi>]}
          />
        )}
      </p>
      {text !== "" && <p dir="auto">{text}</p>}
    </div>
  );
}
