// The service worker: the app opens without a network, and a new version waits until the person says yes.
//
// It keeps the files of the build and nothing else: no answers of the API, no messages (those are in IndexedDB, under the model's rules).
// Calls of the API go past it where the browser can do that (static routes), so that none waits for a worker to start.
// `postMessage({type: "SKIP_WAITING"})` from the page means: take over now.

import { clientsClaim } from "workbox-core";
import { cleanupOutdatedCaches, createHandlerBoundToURL, matchPrecache, precacheAndRoute } from "workbox-precaching";
import { NavigationRoute, registerRoute, setCatchHandler } from "workbox-routing";

declare const self: ServiceWorkerGlobalScope & {
  readonly __WB_MANIFEST: (string | { url: string; revision: string | null })[];
};

self.addEventListener("message", (event) => {
  const data: unknown = event.data;
  if (typeof data === "object" && data !== null && "type" in data && data.type === "SKIP_WAITING") {
    void self.skipWaiting();
  }
});

/** Chromium has it since version 123; TypeScript does not know it yet. */
interface Routes {
  addRoutes?(rule: { condition: { urlPattern: string }; source: "network" }): Promise<void>;
}

self.addEventListener("install", (event: ExtendableEvent & Routes) => {
  // Without the route all is as before, only slower.
  const added = event.addRoutes?.({ condition: { urlPattern: "/api/*" }, source: "network" }).catch(() => undefined);
  if (added !== undefined) event.waitUntil(added);
});

clientsClaim();
cleanupOutdatedCaches();
precacheAndRoute(self.__WB_MANIFEST);
// Every page of the app is the same file. What the server answers itself (the API, health) is never taken for a page.
registerRoute(
  new NavigationRoute(createHandlerBoundToURL("index.html"), {
    denylist: [/^\/(api|ws|socket\.io|healthz|readyz)(\/|$)/],
  }),
);
setCatchHandler(async ({ request }) =>
  request.mode === "navigate" ? ((await matchPrecache("index.html")) ?? Response.error()) : Response.error(),
);
