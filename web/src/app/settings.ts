// Carries the device's settings to the page: theme, density, motion, language. `public/early.js` does the same for the first moment,
// before this is loaded, from what is written here into localStorage.

import { chooseLanguage, setLanguage } from "@/i18n";
import { type Model, type Settings, selectSettings } from "@/model";

const EARLY_KEY = "causerie.early";

/** Applies the settings now and whenever they change. Waits for the words of the first language. */
export async function followSettings(store: Model["store"]): Promise<void> {
  let before: Settings | null = null;
  const apply = async (): Promise<void> => {
    const settings = selectSettings(store.getState());
    if (settings === before) return;
    const languageChanged = settings.language !== before?.language;
    before = settings;
    const root = document.documentElement;
    set(root, "theme", settings.theme === "system" ? null : settings.theme);
    set(root, "density", settings.density === "compact" ? "compact" : null);
    set(root, "motion", settings.motion === "reduced" ? "reduced" : null);
    const language = chooseLanguage(settings.language, navigator.languages);
    remember({ theme: root.dataset["theme"], density: root.dataset["density"], lang: language.tag, dir: language.dir });
    if (languageChanged) await setLanguage(language);
  };
  store.subscribe(() => void apply());
  await apply();
}

function set(root: HTMLElement, name: string, value: string | null): void {
  if (value === null) root.removeAttribute(`data-${name}`);
  else root.setAttribute(`data-${name}`, value);
}

function remember(early: Readonly<Record<string, string | undefined>>): void {
  try {
    localStorage.setItem(EARLY_KEY, JSON.stringify(early));
  } catch {
    // A browser that keeps nothing shows the system's theme for a moment; that is all that is lost.
  }
}
