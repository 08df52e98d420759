// Which dialog is open. There is one at a time, and any part of the page can ask for one.

import { createContext, type ReactNode, useContext, useMemo, useState } from "react";

/** The dialogs that are not bound to a place. */
export type DialogName = "createRoom" | "direct" | "switcher" | "shortcuts" | "signOut";

interface Dialogs {
  readonly current: DialogName | null;
  readonly open: (name: DialogName) => void;
  readonly close: () => void;
}

const Context = createContext<Dialogs>({ current: null, open: () => undefined, close: () => undefined });

/** Opens and closes dialogs. */
export function useDialogs(): Dialogs {
  return useContext(Context);
}

/** Holds which dialog is open. */
export function DialogsProvider({ children }: { readonly children: ReactNode }): ReactNode {
  const [current, setCurrent] = useState<DialogName | null>(null);
  const value = useMemo<Dialogs>(() => ({ current, open: setCurrent, close: () => setCurrent(null) }), [current]);
  return <Context value={value}>{children}</Context>;
}
