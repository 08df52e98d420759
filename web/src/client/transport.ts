// What the client needs of a socket: a way to open one, four callbacks, and two verbs.

/** What a socket tells. After `onClose` it tells nothing more; after `close()` nothing at all. */
export interface SocketCallbacks {
  onOpen(): void;
  onText(text: string): void;
  /** Something that is no text came: the server never sends such. */
  onBinary(): void;
  /** 1006 when it broke without a word. */
  onClose(code: number): void;
}

export interface Socket {
  send(text: string): void;
  /** Closes it; no callback is called from now on. */
  close(): void;
}

/** Opens a socket to this address. */
export type Transport = (url: string, callbacks: SocketCallbacks) => Socket;
