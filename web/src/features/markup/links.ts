/*
 * Finds the links in a piece of text. Only addresses that name http, https or mailto are links (and bare mail addresses):
 * "main.rs" is a file, not a site. What a link shows is always where it leads. An address with characters that turn the
 * direction of text round or cannot be seen is left as text, since it could show another place than it leads to.
 */

import { find } from "linkifyjs";

import type { Inline } from "./ast";

/** Schemes that a link may have; nothing else becomes one. */
export const SCHEMES: readonly string[] = ["http:", "https:", "mailto:"];

const SIGN_OF_LINK = /https?:\/\/|@/i;
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** The address if it may be a link, in the form that the browser will use. */
export function safeHref(address: string): string | undefined {
  if (HIDDEN.test(address)) return undefined;
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return undefined;
  }
  if (!SCHEMES.includes(url.protocol)) return undefined;
  // "https://bank.example@elsewhere.example" looks like one place and leads to another.
  if (url.username !== "" || url.password !== "") return undefined;
  return url.href;
}

/** Splits text into text and links. */
export function withLinks(text: string): Inline[] {
  if (!SIGN_OF_LINK.test(text)) return text === "" ? [] : [{ kind: "text", text }];
  const parts: Inline[] = [];
  let from = 0;
  for (const match of find(text)) {
    const typed = match.type === "email" || /^(https?:\/\/|mailto:)/i.test(match.value);
    const href = typed ? safeHref(match.href) : undefined;
    if (href === undefined || match.start < from) continue;
    if (match.start > from) parts.push({ kind: "text", text: text.slice(from, match.start) });
    parts.push({ kind: "link", href, text: match.value });
    from = match.end;
  }
  if (from < text.length) parts.push({ kind: "text", text: text.slice(from) });
  return parts;
}
