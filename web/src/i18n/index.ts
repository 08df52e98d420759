// The languages of the app. English comes with the first view, the others are fetched when they are chosen.
//
// `setLanguage` also sets the page's `lang` and `dir`. Times and numbers follow the chosen language; the time zone is the
// browser's.

import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import { en } from "./en";

/** A language that the app speaks. */
export interface Language {
  readonly tag: string;
  /** In its own words. */
  readonly name: string;
  readonly dir: "ltr" | "rtl";
}

export const LANGUAGES: readonly Language[] = [
  { tag: "en", name: "English", dir: "ltr" },
  { tag: "ar", name: "العربية", dir: "rtl" },
];

const ENGLISH: Language = { tag: "en", name: "English", dir: "ltr" };

/** Languages beyond English, fetched when wanted. */
const LOADERS: Readonly<Record<string, () => Promise<object>>> = {
  ar: async () => (await import("./ar")).ar,
};

/** Starts i18next with English. Synchronous: the first view never waits for words. */
export function startI18n(): void {
  void i18next.use(initReactI18next).init({
    lng: "en",
    fallbackLng: "en",
    resources: { en: { translation: en } },
    interpolation: { escapeValue: false }, // React escapes.
    returnNull: false,
    initAsync: false,
    react: { useSuspense: false },
  });
}

/** The language meant by a setting (empty: the browser's wishes, in their order). */
export function chooseLanguage(setting: string, wishes: readonly string[]): Language {
  const wanted = setting === "" ? wishes : [setting];
  for (const wish of wanted) {
    const base = wish.toLowerCase().split("-")[0];
    const found = LANGUAGES.find((language) => language.tag === base);
    if (found !== undefined) return found;
  }
  return ENGLISH;
}

/** Switches the app to a language. When its words cannot be had, English stays. */
export async function setLanguage(language: Language): Promise<void> {
  const load = LOADERS[language.tag];
  if (load !== undefined && !i18next.hasResourceBundle(language.tag, "translation")) {
    i18next.addResourceBundle(language.tag, "translation", await load());
  }
  await i18next.changeLanguage(language.tag);
  document.documentElement.lang = language.tag;
  document.documentElement.dir = language.dir;
}

/** Sets a name apart within a sentence, so that its direction of writing stays its own. For attributes; in text use `<bdi>`. */
export function isolate(text: string): string {
  return `\u2068${text}\u2069`;
}
