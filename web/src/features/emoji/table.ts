// The emoji themselves: their names and pictures, from emojibase. Large, so it is fetched the first time that somebody wants one,
// from this server like all else.

import data from "emojibase-data/en/data.json";
import messages from "emojibase-data/en/messages.json";
import github from "emojibase-data/en/shortcodes/github.json";

/** An emoji that can be written as `:name:`. */
export interface NamedEmoji {
  readonly emoji: string;
  readonly names: readonly string[];
  /** Further words that it is found by. */
  readonly tags: readonly string[];
}

/** What systems of recent years can show. */
const VERSION_MAX = 15;

const SKINS = ["light", "medium-light", "medium", "medium-dark", "dark"] as const;
const SKIN_SIGNS = { light: "🏻", "medium-light": "🏼", medium: "🏽", "medium-dark": "🏾", dark: "🏿" } as const;
/** The group of skin tones and hair, which are no emoji of their own. */
const COMPONENT_GROUP = 2;

const shown = data.filter(
  (entry) => entry.group !== undefined && entry.group !== COMPONENT_GROUP && entry.version <= VERSION_MAX,
);

/** All emoji with their names, for completion. */
export const named: readonly NamedEmoji[] = shown.map((entry) => {
  const codes = github[entry.hexcode] ?? [];
  const names = typeof codes === "string" ? [codes] : codes;
  return {
    emoji: entry.emoji,
    names: names.length > 0 ? names : [entry.label.toLowerCase().replaceAll(/[^a-z0-9]+/g, "_")],
    tags: entry.tags ?? [],
  };
});

/** The same for the picker, in the form that it wants. */
export const picker = {
  locale: "en",
  emojis: shown.map((entry) => ({
    emoji: entry.emoji,
    category: entry.group ?? 0,
    label: entry.label,
    version: entry.version,
    tags: [...(entry.tags ?? [])],
  })),
  categories: messages.groups
    .filter((group) => group.order !== COMPONENT_GROUP)
    .map((group) => ({ index: group.order, label: group.message })),
  skinTones: Object.fromEntries(SKINS.map((tone) => [tone, SKIN_SIGNS[tone]])) as Record<
    (typeof SKINS)[number],
    string
  >,
};
