/* The icons: drawn here on a grid of 24, in the colour of the text around them. They are decoration; what names a thing is its label. */

import type { ReactNode } from "react";

const PATHS = {
  alert: "M12 8v5m0 3.5v.01M10.3 3.9 2.6 17.2A2 2 0 0 0 4.3 20.2h15.4a2 2 0 0 0 1.7-3L13.7 3.9a2 2 0 0 0-3.4 0Z",
  back: "m14.5 5-7 7 7 7",
  bell: "M6 10a6 6 0 1 1 12 0c0 5 2 6 2 6H4s2-1 2-6Zm4 9.5a2.2 2.2 0 0 0 4 0",
  check: "m5 12.5 4.5 4.5L19 7.5",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-14v5l3 2",
  close: "M6 6l12 12M18 6 6 18",
  compass: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm3.5-12.5-2 5-5 2 2-5Z",
  copy: "M9 9h11v11H9Zm-4 6H4V4h11v1",
  down: "m5 9 7 7 7-7",
  exit: "M14 4h5a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1h-5M10 16l-4-4 4-4m-4 4h9",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Zm9.5 3a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  globe:
    "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM3.3 9.5h17.4M3.3 14.5h17.4M12 3c2.5 2.5 3.5 5.5 3.5 9s-1 6.5-3.5 9c-2.5-2.5-3.5-5.5-3.5-9S9.5 5.5 12 3Z",
  hash: "M9.5 4 7.5 20M16.5 4l-2 16M4.5 9h16M3.5 15h16",
  keyboard: "M3 6.5h18v11H3ZM7 10h.01M10.3 10h.01M13.7 10h.01M17 10h.01M8 14h8",
  lock: "M6 11h12v9H6Zm2.5 0V8a3.5 3.5 0 0 1 7 0v3",
  message: "M4 5h16v11H11l-4.5 4v-4H4Z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  people:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm-6.5 9c.5-4 3-6 6.5-6s6 2 6.5 6M16 4.3a3.5 3.5 0 0 1 0 6.4m2.2 3.8c1.9.9 3 2.7 3.3 5.5",
  pencil: "M4 20l1-4.5L16 4.5l3.5 3.5L8.5 19Z",
  plus: "M12 5v14M5 12h14",
  retry: "M20 5v5h-5M19.5 10A8 8 0 1 0 20 14",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Zm5-1.5L20.5 20.5",
  send: "M4 11.5 20 4l-4.5 16-4-6.5Zm7.5 2L20 4",
  settings:
    "M4 7h9m5 0h2M4 17h2m5 0h9M15.5 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM8.5 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM8.5 14.2c.8 1.2 2 1.9 3.5 1.9s2.7-.7 3.5-1.9M9 9.5h.01M15 9.5h.01",
  trash: "M5 7h14M10 7V4.5h4V7m-7.5 0 .8 12.5h9.4L17.5 7M10.3 11v5m3.4-5v5",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7.5 8.5c.6-4 3.3-6 7.5-6s6.9 2 7.5 6",
  userPlus:
    "M10 11.5a3.750 3.750 0 1 0 0-7.5 3.750 3.750 0 0 0 0 7.5Zm-7 8.5c.6-3.7 3.1-5.5 7-5.5s6.4 1.8 7 5.5M18.5 8v6m-3-3h6",
  wifiOff:
    "M4 4l16 16M8.5 15.5a5 5 0 0 1 6.2-.6M5 12a10 10 0 0 1 4.3-2.5m4 0A10 10 0 0 1 19 12M2 8.5a15 15 0 0 1 4-2.6m5-1.3A15 15 0 0 1 22 8.5M12 19h.01",
} as const;

/** The names of all icons. */
export type IconName = keyof typeof PATHS;

/** Icons that point along the line of writing and so are turned in right-to-left pages. */
const DIRECTED: ReadonlySet<IconName> = new Set(["back", "exit", "send"]);

/** One icon. */
export function Icon({ name, size }: { readonly name: IconName; readonly size?: "small" | undefined }): ReactNode {
  return (
    <svg
      className="icon"
      viewBox="0 0 24 24"
      aria-hidden="true"
      focusable="false"
      data-size={size}
      data-mirror={DIRECTED.has(name) || undefined}
      data-heavy={name === "more" || undefined}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

/** Causerie's mark: two people's words that lean towards each other and form a C. */
export function Logo({ className }: { readonly className?: string }): ReactNode {
  return (
    <svg className={className ?? "logo"} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path
        className="logo-ground"
        d="M16 2.5C8.3 2.5 2.5 8 2.5 15.2c0 3.6 1.5 6.8 4 9.1L5.6 29.5l5.7-2.2c1.5.4 3 .7 4.7.7 7.7 0 13.5-5.6 13.5-12.8S23.7 2.5 16 2.5Z"
      />
      <path className="logo-mark" d="M20.8 11.3a6.3 6.3 0 1 0 0 8" />
      <circle className="logo-dot" cx="21.6" cy="15.3" r="1.7" />
    </svg>
  );
}
