// The service worker: the app opens without a network, and a new version waits until the person says yes.
//
// It keeps the files of the build and nothing else: no answers of the API, no messages (those are in IndexedDB, under the model's rules).
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
