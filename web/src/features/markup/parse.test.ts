// The markup: what it knows, and that whatever else somebody writes stays text.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Block, Inline } from "./ast";
import { isOnlyEmoji } from "./emoji";
import { parseInline } from "./inline";
import { safeHref, withLinks } from "./links";
import { parseMessage } from "./parse";
import { plainText } from "./plain";

const text = (words: string): Inline => ({ kind: "text", text: words });
const strong = (...children: Inline[]): Inline => ({ kind: "strong", children });
const emphasis = (...children: Inline[]): Inline => ({ kind: "emphasis", children });
const code = (words: string): Inline => ({ kind: "code", text: words });

describe("within a line", () => {
  const cases: readonly (readonly [string, readonly Inline[]])[] = [
    ["plain", [text("plain")]],
    ["**bold**", [strong(text("bold"))]],
    ["*it* and _it_", [emphasis(text("it")), text(" and "), emphasis(text("it"))]],
    ["~~gone~~", [{ kind: "strike", children: [text("gone")] }]],
    ["`a *b* c`", [code("a *b* c")]],
    ["``a ` b``", [code("a ` b")]],
    ["**bold _both_**", [strong(text("bold "), emphasis(text("both")))]],
    ["***both***", [strong(emphasis(text("both")))]],
    ["snake_case_name", [text("snake_case_name")]],
    ["2 * 3 * 4", [text("2 * 3 * 4")]],
    ["**open", [text("**open")]],
    ["close**", [text("close**")]],
    ["** no **", [text("** no **")]],
    ["****", [text("****")]],
    ["*a **b*", [emphasis(text("a **b"))]],
    ["`open", [text("`open")]],
    ["`open `` other", [text("`open `` other")]],
    ["one\ntwo", [text("one"), { kind: "break" }, text("two")]],
    ["(*in brackets*)", [text("("), emphasis(text("in brackets")), text(")")]],
    ["**مرحبا**", [strong(text("مرحبا"))]],
  ];
  for (const [written, parsed] of cases) {
    it(JSON.stringify(written), () => {
      expect(parseInline(written)).toEqual(parsed);
    });
  }
});

describe("links", () => {
  it("are found with their scheme, without the punctuation around them", () => {
    expect(withLinks("See https://example.org/a_b, (http://x.example/y) or ann@example.org.")).toEqual([
      text("See "),
      { kind: "link", href: "https://example.org/a_b", text: "https://example.org/a_b" },
      text(", ("),
      { kind: "link", href: "http://x.example/y", text: "http://x.example/y" },
      text(") or "),
      { kind: "link", href: "mailto:ann@example.org", text: "ann@example.org" },
      text("."),
    ]);
  });

  it("keep their own stars and underscores", () => {
    expect(parseInline("*https://example.org/_a_*b_c*")).toEqual([
      emphasis({ kind: "link", href: "https://example.org/_a_*b_c", text: "https://example.org/_a_*b_c" }),
    ]);
  });

  it("are no file names", () => {
    expect(withLinks("main.rs and example.org")).toEqual([text("main.rs and example.org")]);
  });

  const refused = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "\u0001javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:https://example.org/1",
    "https://bank.example@evil.example/",
    "https://evil.example/\u202egpj.exe",
    "https://evil.example/\u200bx",
    "//evil.example",
    "https://",
    "",
  ];
  for (const address of refused) {
    it(`refuses ${JSON.stringify(address)}`, () => {
      expect(safeHref(address)).toBeUndefined();
    });
  }
});

describe("blocks", () => {
  const kinds = (written: string): string[] => parseMessage(written).map((block) => block.kind);

  it("are paragraphs, code, quotes and lists", () => {
    expect(kinds("one\n\ntwo\n```\ncode\n```\n> quote\n- a\n- b\n1. x\n2. y")).toEqual([
      "paragraph",
      "paragraph",
      "code",
      "quote",
      "list",
      "list",
    ]);
  });

  it("code keeps every character, with or without its end", () => {
    const block: Block = { kind: "code", language: "rust", text: "let a = *b;\n\n  <b>" };
    expect(parseMessage("```rust\nlet a = *b;\n\n  <b>\n```")).toEqual([block]);
    expect(parseMessage("```rust\nlet a = *b;\n\n  <b>")).toEqual([block]);
  });

  it("numbers begin where they were begun", () => {
    expect(parseMessage("7. seven\n8. eight")[0]).toMatchObject({ kind: "list", ordered: true, start: 7 });
  });

  it("quotes in quotes have an end", () => {
    const depth = (blocks: readonly Block[]): number => {
      const [first] = blocks;
      return first?.kind === "quote" ? 1 + depth(first.children) : 0;
    };
    expect(depth(parseMessage(`${">".repeat(4000)} deep`))).toBe(4);
  });

  it("white space alone is nothing", () => {
    expect(parseMessage(" \n\t\n")).toEqual([]);
  });
});

describe("whatever is written", () => {
  const letters = (written: string): string => written.replaceAll(/[^\p{L}\p{N}]/gu, "");
  const shown = (blocks: readonly Block[]): string => blocks.map(ofBlock).join("");
  const ofBlock = (block: Block): string => {
    if (block.kind === "code") return block.language + block.text;
    if (block.kind === "quote") return shown(block.children);
    return block.kind === "list" ? block.items.map(ofInlines).join("") : ofInlines(block.children);
  };
  const ofInlines = (parts: readonly Inline[]): string =>
    parts.map((part) => ("children" in part ? ofInlines(part.children) : "text" in part ? part.text : "")).join("");
  const piece = fc.oneof(
    fc.constantFrom(
      "*",
      "**",
      "_",
      "~~",
      "`",
      "``",
      "```",
      "\n",
      "\n\n",
      "> ",
      "- ",
      " ",
      "a",
      "https://x.example/",
      "<b>",
      "ב",
      "👍🏽",
    ),
    fc.string({ unit: "binary", maxLength: 4 }),
  );
  const message = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(""));

  it("no letter is lost, except numbers of lists", () => {
    fc.assert(
      fc.property(message, (written) => {
        const kept = letters(shown(parseMessage(written)));
        expect(kept).toBe(letters(written));
      }),
    );
  });

  it("every link leads where links may lead", () => {
    const links = (parts: readonly Inline[]): string[] =>
      parts.flatMap((part) => ("children" in part ? links(part.children) : part.kind === "link" ? [part.href] : []));
    fc.assert(
      fc.property(message, (written) => {
        for (const href of links(parseInline(written))) expect(href).toMatch(/^(?:https?:\/\/|mailto:)/u);
      }),
    );
  });

  const heaps: readonly (readonly [string, string])[] = [
    ["stars", "*".repeat(4096)],
    ["stars and letters", "*a ".repeat(1365)],
    ["backticks of all lengths", Array.from({ length: 89 }, (_, n) => `${"`".repeat(n + 1)} `).join("")],
    ["marks that cross", "**a _b ~~c ".repeat(372)],
    ["addresses", "https://a.b/ ".repeat(315)],
    ["brackets", "(https://a.b/".repeat(315)],
    ["at signs", "a@".repeat(2048)],
    ["quotes", "> ".repeat(2048)],
    ["lists", "- a\n".repeat(1024)],
  ];
  for (const [name, written] of heaps) {
    it(`heaps of ${name} break nothing`, () => {
      const blocks = parseMessage(written);
      expect(blocks.length).toBeGreaterThan(0);
      expect(letters(shown(blocks))).toBe(letters(written));
    });
  }
});

describe("emoji alone", () => {
  it("are one to three", () => {
    for (const written of ["👍", "👩‍👩‍👧‍👦", "🇫🇷🇩🇪", " 🎉 ", "1️⃣", "👍🏽👍🏽👍🏽"])
      expect(isOnlyEmoji(written), written).toBe(true);
    for (const written of ["", "👍👍👍👍", "ok 👍", "1", "a", "©x", "123"])
      expect(isOnlyEmoji(written), written).toBe(false);
  });
});

describe("the words on one line", () => {
  it("have no marks and no breaks", () => {
    expect(plainText("**Bold**\n> _quote_\n- a\n- `b`\n```\nx\n```")).toBe("Bold quote a, b x");
  });
});
