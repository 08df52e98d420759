// How keys are called on this system.

/** Whether this is one of Apple's systems, where Cmd does what Ctrl does elsewhere. */
export function isApple(): boolean {
  return /mac|iphone|ipad/iu.test(navigator.userAgent);
}

/** The name of the key that makes commands. */
export function modifierKey(): string {
  return isApple() ? "⌘" : "Ctrl";
}

/** The name of the Alt key. */
export function altKey(): string {
  return isApple() ? "⌥" : "Alt";
}

/** Whether the person writes in a field now, so that single letters are text. */
export function isWriting(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}
