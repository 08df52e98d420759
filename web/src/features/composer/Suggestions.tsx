// Emoji that fit the `:name` before the caret. The field keeps the focus; arrow keys choose, Enter or Tab takes, Escape closes.

import { type KeyboardEvent, type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { askedAt, byName, finishedAt, matches } from "../emoji/complete";
import type { NamedEmoji } from "../emoji/table";

/** So many fit without scrolling. */
const SHOWN_MAX = 6;

let table: readonly NamedEmoji[] | null = null;

async function loadTable(): Promise<readonly NamedEmoji[]> {
  table ??= (await import("../emoji/table")).named;
  return table;
}

/** The state of the suggestions for one field. */
export interface Completion {
  readonly shown: readonly NamedEmoji[];
  readonly chosen: number;
  /** Handles a key; true when it was used up. */
  readonly onKey: (event: KeyboardEvent) => boolean;
  readonly take: (entry: NamedEmoji) => void;
}

/** Suggestions for this text and caret; `replace` puts an emoji in place of what stands between the two places. */
export function useCompletion(
  text: string,
  caret: number,
  replace: (from: number, to: number, emoji: string) => void,
): Completion {
  const [all, setAll] = useState(table);
  const [chosen, setChosen] = useState(0);
  const [closedAt, setClosedAt] = useState<number | null>(null);
  const asked = askedAt(text, caret);
  const wanted = asked !== undefined;

  useEffect(() => {
    if (!wanted || all !== null) return undefined;
    let here = true;
    loadTable().then(
      (loaded) => {
        if (here) setAll(loaded);
      },
      () => undefined, // Without the list there are no suggestions; writing goes on.
    );
    return () => {
      here = false;
    };
  }, [wanted, all]);

  // The closing colon replaces a name that is one.
  const finished = finishedAt(text, caret);
  const whole = finished && all ? byName(all, finished.name) : undefined;
  useEffect(() => {
    if (whole !== undefined && finished !== undefined) replace(finished.from, caret, whole.emoji);
  });

  const shown = asked && all && closedAt !== asked.from ? matches(all, asked.name, SHOWN_MAX) : [];
  const at = Math.min(chosen, Math.max(0, shown.length - 1));

  const take = (entry: NamedEmoji): void => {
    if (asked === undefined) return;
    setChosen(0);
    replace(asked.from, caret, `${entry.emoji} `);
  };

  return {
    shown,
    chosen: at,
    take,
    onKey: (event) => {
      if (shown.length === 0 || asked === undefined) return false;
      const entry = shown[at];
      if (event.key === "ArrowDown") setChosen((at + 1) % shown.length);
      else if (event.key === "ArrowUp") setChosen((at + shown.length - 1) % shown.length);
      else if (event.key === "Escape") setClosedAt(asked.from);
      else if ((event.key === "Enter" || event.key === "Tab") && !event.shiftKey && entry !== undefined) take(entry);
      else return false;
      event.preventDefault();
      return true;
    },
  };
}

/** The list above the field. */
export function Suggestions({ id, completion }: { readonly id: string; readonly completion: Completion }): ReactNode {
  const { t } = useTranslation();
  const { shown, chosen, take } = completion;
  return (
    <>
      {shown.length > 0 && (
        <div className="suggestions" role="listbox" id={id} aria-label={t("composer.suggestions")}>
          {shown.map((entry, at) => (
            // The field has the focus and handles the keys.
            // biome-ignore lint/a11y/useFocusableInteractive: chosen by aria-activedescendant
            <div
              key={entry.emoji}
              className="suggestion"
              role="option"
              id={`${id}-${at}`}
              aria-selected={at === chosen}
              onPointerDown={(event) => {
                event.preventDefault();
                take(entry);
              }}
            >
              <span className="suggestion-emoji">{entry.emoji}</span>
              <span dir="ltr">:{entry.names[0]}:</span>
            </div>
          ))}
        </div>
      )}
      <span className="visually-hidden" role="status">
        {shown.length > 0 && t("composer.suggestionCount", { count: shown.length })}
      </span>
    </>
  );
}
