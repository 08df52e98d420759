/* Tells whether a message is nothing but a few emoji, which are then shown large. */

const EMOJI = /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}|\p{RI}{2}|[0-9#*]\uFE0F?\u20E3)/u;

/** Emoji that are shown large; more are a text. */
const LARGE_MAX = 3;

/** Whether the text is one to three emoji and nothing else. */
export function isOnlyEmoji(text: string): boolean {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed.length > 60) return false;
  const segments = [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(trimmed)]
    .map((part) => part.segment)
    .filter((part) => part.trim() !== "");
  return segments.length <= LARGE_MAX && segments.every((part) => EMOJI.test(part));
}
