// The browser as the environment of the model: its clock, sockets, tabs and events.

import type { Transport } from "@/client";
import { defaultSettings } from "../initial";
import type { Settings } from "../types";
import type { Environment, Happening, TabMessage, Tabs } from "./environment";
import { browserStorages } from "./storage";

const SETTINGS = "causerie.settings";
/** The person's every movement says no more than the first of some seconds. */
const TOUCH_MS = 5000;
/** Where no frames are drawn (a hidden page), changes are shown in steps of this. */
const HIDDEN_MS = 100;

export function browserEnvironment(origin = location.origin): Environment {
  return {
    origin,
    socketUrl: `${origin.replace(/^http/, "ws")}/ws/chat`,
    now: () => Date.now(),
    random: () => (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32,
    after: (ms, task) => {
      // A longer wait does not fit the browser's timers.
      const timer = setTimeout(task, Math.min(ms, 2 ** 31 - 1));
      return () => clearTimeout(timer);
    },
    soon: (task) => {
      // A hidden page draws no frames, and a page can be hidden before the frame comes.
      let done = false;
      const once = (): void => {
        if (!done) {
          done = true;
          task();
        }
      };
      requestAnimationFrame(once);
      setTimeout(once, HIDDEN_MS);
    },
    transport: browserTransport,
    fetch: (url, init) => fetch(url, init),
    storages: browserStorages(),
    tabs: browserTabs(),
    settings: readSettings,
    keepSettings: (settings) => {
      try {
        localStorage.setItem(SETTINGS, JSON.stringify(settings));
      } catch {
        // This browser keeps nothing; the settings last as long as the page.
      }
    },
    page: () => ({
      visible: document.visibilityState === "visible",
      focused: document.hasFocus(),
      online: navigator.onLine,
    }),
    onHappening: listen,
  };
}

/** A WebSocket with the four callbacks. Those of a socket that was closed from here are not called. */
export const browserTransport: Transport = (url, callbacks) => {
  let over = false;
  const socket = new WebSocket(url);
  socket.onopen = () => {
    if (!over) callbacks.onOpen();
  };
  socket.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (over) return;
    if (typeof data === "string") {
      callbacks.onText(data);
    } else {
      callbacks.onBinary();
    }
  };
  socket.onclose = ({ code }) => {
    if (over) return;
    over = true;
    callbacks.onClose(code);
  };
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) {
        socket.send(text);
      }
    },
    close: () => {
      over = true;
      socket.close(1000);
    },
  };
};

function browserTabs(): Tabs {
  const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("causerie") : null;
  // Old browsers, and pages that are not secure, have no locks. Then each tab sends for itself; ids keep that right.
  const locks = "locks" in navigator ? navigator.locks : null;
  return {
    tell: (message) => channel?.postMessage(message),
    onMessage: (listener) => {
      if (channel) {
        // Only pages of our own origin can speak here.
        channel.onmessage = ({ data }: MessageEvent<TabMessage>) => listener(data);
      }
    },
    alone: async (name, task) => (locks ? await locks.request(name, task) : await task()),
    lead: (name, insist, onLead) => {
      if (!locks) {
        onLead(true);
        return () => undefined;
      }
      let over = false;
      let release: () => void = () => undefined;
      const given = new AbortController();
      const held = (): Promise<void> =>
        new Promise((done) => {
          release = done;
          if (over) {
            done();
          } else {
            onLead(true);
          }
        });
      // `steal` and `signal` exclude each other.
      const options: LockOptions = insist ? { steal: true } : { signal: given.signal };
      locks.request(name, options, held).catch(() => {
        // Given up, or another tab insisted.
        if (!over) {
          over = true;
          onLead(false);
        }
      });
      return () => {
        over = true;
        given.abort();
        release();
      };
    },
    close: () => channel?.close(),
  };
}

function readSettings(): Partial<Settings> {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(SETTINGS) ?? "{}");
    if (typeof kept !== "object" || kept === null) {
      return {};
    }
    // Only what is known, in the form that is known.
    return Object.fromEntries(
      Object.entries(kept).filter(
        ([key, value]) => key in defaultSettings && typeof value === typeof defaultSettings[key as keyof Settings],
      ),
    );
  } catch {
    return {};
  }
}

function listen(listener: (happening: Happening) => void): () => void {
  const off = new AbortController();
  const { signal } = off;
  let touched = 0;
  const touch = (): void => {
    const now = Date.now();
    if (now - touched > TOUCH_MS) {
      touched = now;
      listener("touch");
    }
  };
  const simple = { online: "online", offline: "offline", focus: "focus", blur: "blur", pagehide: "leaving" } as const;
  for (const [name, happening] of Object.entries(simple)) {
    addEventListener(name, () => listener(happening), { signal });
  }
  document.addEventListener(
    "visibilitychange",
    () => listener(document.visibilityState === "visible" ? "seen" : "hidden"),
    { signal },
  );
  for (const name of ["pointerdown", "pointermove", "keydown", "wheel"]) {
    addEventListener(name, touch, { signal, passive: true });
  }
  return () => off.abort();
}
