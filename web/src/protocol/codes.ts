// The codes of errors and of closes.

import { type CloseCode, type Code, closeCodes, codes } from "./generated/codes";

export { type CloseCode, type Code, closeCodes, codes } from "./generated/codes";

/** All codes of the protocol that this client knows. */
export const allCodes = Object.keys(codes) as readonly Code[];

/** A code that this client has a sentence for. */
export function isCode(text: string): text is Code {
  return Object.hasOwn(codes, text);
}

/** A close code of the protocol. */
export function isCloseCode(code: number): code is CloseCode {
  return Object.hasOwn(closeCodes, code);
}

/** Whether to come back by oneself after this close. What is no code of ours (a lost connection, a proxy's) says yes. */
export function comesBack(code: number): boolean {
  return code !== 1000 && (isCloseCode(code) ? closeCodes[code].reconnect : code < 4400 || code >= 4500);
}
