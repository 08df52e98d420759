// The browser's offer to install the app: it comes once, early, and is kept until somebody asks for it.

/** What the browser hands out. */
export interface InstallOffer {
  readonly prompt: () => Promise<unknown>;
}

let offer: InstallOffer | null = null;
const watchers = new Set<() => void>();

function set(next: InstallOffer | null): void {
  offer = next;
  for (const watcher of watchers) watcher();
}

function isOffer(event: Event): event is Event & InstallOffer {
  return "prompt" in event && typeof event.prompt === "function";
}

/** Listens for the offer; call it once, before the first page. */
export function watchInstall(): void {
  window.addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    if (isOffer(event)) set({ prompt: () => event.prompt() });
  });
  window.addEventListener("appinstalled", () => set(null));
}

/** The offer, as an external store. */
export const installOffer = {
  get: (): InstallOffer | null => offer,
  watch: (watcher: () => void): (() => void) => {
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  },
};
