// The emoji picker. Fetched when it is opened the first time, with its data.

import { EmojiPicker as Picker } from "frimousse";
import type { ComponentProps, ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Skeletons } from "@/ui/Feedback";

type Parts = NonNullable<ComponentProps<typeof Picker.List>["components"]>;

const PARTS: Parts = { CategoryHeader, Row, Emoji };

function CategoryHeader({ category, ...rest }: ComponentProps<NonNullable<Parts["CategoryHeader"]>>): ReactNode {
  return (
    <div {...rest} className="emoji-category">
      {category.label}
    </div>
  );
}

/** The library counts from 0, ARIA from 1. */
function fromOne(index: number | undefined): number | undefined {
  return index === undefined ? undefined : index + 1;
}

function Row({ children, ...rest }: ComponentProps<NonNullable<Parts["Row"]>>): ReactNode {
  const numbered = { ...rest, "aria-rowindex": fromOne(rest["aria-rowindex"]) };
  return (
    <div {...numbered} className="emoji-row">
      {children}
    </div>
  );
}

function Emoji({ emoji, ...rest }: ComponentProps<NonNullable<Parts["Emoji"]>>): ReactNode {
  const numbered = { ...rest, "aria-colindex": fromOne(rest["aria-colindex"]) };
  return (
    <button {...numbered} type="button" className="emoji-button" data-active={emoji.isActive ? true : undefined}>
      {emoji.emoji}
    </button>
  );
}

/** Shows all emoji, with a search; calls back with the chosen one. */
export default function EmojiPicker({ onPick }: { readonly onPick: (emoji: string) => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Picker.Root
      className="emoji-picker"
      locale="en"
      columns={8}
      resolveEmojiData={async () => (await import("./table")).picker}
      onEmojiSelect={({ emoji }) => onPick(emoji)}
    >
      <Picker.Search className="input" aria-label={t("emoji.search")} placeholder={t("emoji.search")} autoFocus />
      <Picker.Viewport className="emoji-viewport">
        <Picker.Loading>
          <Skeletons rows={4} label={t("emoji.loading")} />
        </Picker.Loading>
        <Picker.Empty className="emoji-none">{t("emoji.none")}</Picker.Empty>
        <Picker.List className="emoji-list" components={PARTS} />
      </Picker.Viewport>
    </Picker.Root>
  );
}
