// Registers the service worker, and offers a new version when one is ready. Never forces it: what somebody writes stays.
//
// `register` is a sink of Trusted Types, as `new Worker` is: the one policy of the app lets through addresses of this origin only.

/** Addresses that the policy has let through. In browsers without Trusted Types it is plain text. */
interface Policy {
  createScriptURL(url: string): string;
}

interface Factory {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): Policy;
}

/** The name that the server's `trusted-types` directive allows. */
export const POLICY_NAME = "causerie";

function sameOrigin(url: string): string {
  const parsed = new URL(url, location.href);
  if (parsed.origin !== location.origin) throw new TypeError("a script of another origin");
  return parsed.href;
}

function policy(): Policy {
  const factory = (window as unknown as { readonly trustedTypes?: Factory }).trustedTypes;
  return factory?.createPolicy(POLICY_NAME, { createScriptURL: sameOrigin }) ?? { createScriptURL: sameOrigin };
}

type Listener = (apply: () => void) => void;
const listeners = new Set<Listener>();
let ready: (() => void) | null = null;

/** Calls back when a new version waits; `apply` switches to it and reloads. */
export function onUpdate(listener: Listener): () => void {
  listeners.add(listener);
  if (ready !== null) listener(ready);
  return () => listeners.delete(listener);
}

function offer(waiting: ServiceWorker): void {
  ready = () => {
    // Another tab said yes before: the new version is at work already, and nothing more will change.
    if (waiting.state === "activating" || waiting.state === "activated") {
      location.reload();
      return;
    }
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    waiting.postMessage({ type: "SKIP_WAITING" });
  };
  for (const listener of listeners) listener(ready);
}

/** Registers the worker of a build; in development there is none. */
export function startServiceWorker(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  const url = policy().createScriptURL("/sw.js");
  navigator.serviceWorker.register(url).then(
    (registration) => {
      const watch = (worker: ServiceWorker | null): void => {
        worker?.addEventListener("statechange", () => {
          // Without a controller it is the first version, not a new one.
          if (worker.state === "installed" && navigator.serviceWorker.controller !== null) offer(worker);
        });
      };
      if (registration.waiting !== null && navigator.serviceWorker.controller !== null) offer(registration.waiting);
      watch(registration.installing);
      registration.addEventListener("updatefound", () => watch(registration.installing));
      // A page that stays open for days looks for a new version when it is looked at again.
      document.addEventListener("visibilitychange", () => {
        if (document.visibilityState === "visible") void registration.update().catch(() => undefined);
      });
    },
    () => undefined, // Without a worker the app works as before, with a network.
  );
}
