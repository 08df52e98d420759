/*
 * Shows a message: the parsed blocks as React elements made here. Nothing is ever set as HTML. Every block finds its own
 * direction of writing and is kept apart from its surroundings, so that right-to-left text cannot reorder what stands around it.
 */

import type { ReactNode } from "react";
import { memo, useMemo } from "react";

import type { Block, Inline } from "./ast";
import { isOnlyEmoji } from "./emoji";
import { parseMessage } from "./parse";

/** The text of one message. */
export const Markup = memo(function Markup({ text }: { readonly text: string }): ReactNode {
  const blocks = useMemo(() => parseMessage(text), [text]);
  const large = useMemo(() => isOnlyEmoji(text), [text]);
  return (
    <div className="markup" data-large={large || undefined}>
      {blocks.map((block, at) => (
        // The blocks of a message never change their places.
        <BlockView key={`${block.kind}-${String(at)}`} block={block} />
      ))}
    </div>
  );
});

function BlockView({ block }: { readonly block: Block }): ReactNode {
  switch (block.kind) {
    case "paragraph":
      return <p dir="auto">{inlines(block.children)}</p>;
    case "code":
      return (
        // It scrolls sideways, so it must be reached by keyboard.
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls needs the focus
        <pre dir="ltr" tabIndex={0}>
          <code>{block.text}</code>
        </pre>
      );
    case "quote":
      return (
        <blockquote dir="auto">
          {block.children.map((child, at) => (
            <BlockView key={`${child.kind}-${String(at)}`} block={child} />
          ))}
        </blockquote>
      );
    case "list": {
      const items = block.items.map((item, at) => <li key={String(at)}>{inlines(item)}</li>);
      return block.ordered ? (
        <ol start={block.start} dir="auto">
          {items}
        </ol>
      ) : (
        <ul dir="auto">{items}</ul>
      );
    }
  }
}

function inlines(parts: readonly Inline[]): ReactNode[] {
  return parts.map((part, at) => <InlineView key={`${part.kind}-${String(at)}`} part={part} />);
}

function InlineView({ part }: { readonly part: Inline }): ReactNode {
  switch (part.kind) {
    case "text":
      return part.text;
    case "break":
      return <br />;
    case "code":
      return <code dir="ltr">{part.text}</code>;
    case "link":
      return (
        <a href={part.href} target="_blank" rel="noopener noreferrer" dir="ltr">
          {part.text}
        </a>
      );
    case "strong":
      return <strong>{inlines(part.children)}</strong>;
    case "emphasis":
      return <em>{inlines(part.children)}</em>;
    case "strike":
      return <s>{inlines(part.children)}</s>;
  }
}
