// A few words for what a program calls itself. Only for people to recognize a device; nothing is decided by it.

const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(?:A|iOS)?\//u, "Edge"],
  [/\bOPR\//u, "Opera"],
  [/\bSamsungBrowser\//u, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\//u, "Firefox"],
  [/\b(?:HeadlessChrome|Chrome|CriOS)\//u, "Chrome"],
  [/\bSafari\//u, "Safari"],
];

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\bAndroid\b/u, "Android"],
  [/\b(?:iPhone|iPad)\b/u, "iOS"],
  [/\bWindows\b/u, "Windows"],
  [/\bMac OS X\b/u, "macOS"],
  [/\bCrOS\b/u, "ChromeOS"],
  [/\bLinux\b/u, "Linux"],
];

/** Browser and system that a user agent names, where they are known. */
export function programOf(agent: string): {
  readonly browser: string | undefined;
  readonly system: string | undefined;
} {
  const first = (list: readonly (readonly [RegExp, string])[]): string | undefined =>
    list.find(([sign]) => sign.test(agent))?.[1];
  return { browser: first(BROWSERS), system: first(SYSTEMS) };
}
