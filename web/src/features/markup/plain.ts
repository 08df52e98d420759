// The words of a message on one line, without its marks: for lists and notifications.

import type { Block, Inline } from "./ast";
import { parseMessage } from "./parse";

/** As much as a line can show. */
const LENGTH_MAX = 200;

/** The words of a message. */
export function plainText(text: string): string {
  return parseMessage(text.slice(0, LENGTH_MAX)).map(ofBlock).join(" ").replaceAll(/\s+/gu, " ").trim();
}

function ofBlock(block: Block): string {
  switch (block.kind) {
    case "paragraph":
      return ofInlines(block.children);
    case "code":
      return block.text;
    case "quote":
      return block.children.map(ofBlock).join(" ");
    case "list":
      return block.items.map(ofInlines).join(", ");
  }
}

function ofInlines(parts: readonly Inline[]): string {
  return parts.map(ofInline).join("");
}

function ofInline(part: Inline): string {
  switch (part.kind) {
    case "text":
    case "code":
    case "link":
      return part.text;
    case "break":
      return " ";
    case "strong":
    case "emphasis":
    case "strike":
      return ofInlines(part.children);
  }
}
