// Short words that something worked. They go by themselves, are read out, and never hold anything that must be read to go on.

import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button, IconButton } from "@/ui/Button";

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void } | undefined;
}

type Show = (text: string, action?: Toast["action"]) => void;

const Context = createContext<Show>(() => undefined);

/** How long a toast stays. */
const STAY_MS = 5000;

/** Shows a toast. */
export function useToast(): Show {
  return useContext(Context);
}

/** Holds the toasts of all that is inside. */
export function Toasts({ children }: { readonly children: ReactNode }): ReactNode {
  const { t } = useTranslation();
  const [toasts, setToasts] = useState<readonly Toast[]>([]);
  const next = useRef(1);
  const timers = useRef(new Set<ReturnType<typeof setTimeout>>());

  const drop = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const show = useCallback<Show>(
    (text, action) => {
      const id = next.current;
      next.current += 1;
      // What offers something stays until it is answered; of the others, the oldest goes when there are many.
      setToasts((all) => {
        const passing = all.filter((toast) => toast.action === undefined);
        const dropped = passing.length > 2 ? passing[0] : undefined;
        return [...all.filter((toast) => toast !== dropped), { id, text, action }];
      });
      if (action !== undefined) return;
      const timer = setTimeout(() => {
        timers.current.delete(timer);
        drop(id);
      }, STAY_MS);
      timers.current.add(timer);
    },
    [drop],
  );
  useEffect(() => {
    const all = timers.current;
    return () => {
      for (const timer of all) clearTimeout(timer);
    };
  }, []);
  const value = useMemo(() => show, [show]);

  return (
    <Context value={value}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div className="toast" key={toast.id}>
            <span>{toast.text}</span>
            {toast.action !== undefined && (
              <Button
                kind="quiet"
                onPress={() => {
                  toast.action?.run();
                  drop(toast.id);
                }}
              >
                {toast.action.label}
              </Button>
            )}
            <IconButton icon="close" label={t("common.dismiss")} onPress={() => drop(toast.id)} />
          </div>
        ))}
      </div>
    </Context>
  );
}
