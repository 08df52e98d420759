// Asks before signing out: what is kept on this device goes, and what was not sent is lost.

import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { type Problem, selectOutboxLevel, signOut } from "@/model";
import { Confirm } from "@/ui/Dialog";
import { useModel, useModelDispatch } from "../shared/hooks";
import { useProblemText } from "../shared/useProblemText";

/** The question. */
export function SignOut({ onClose }: { readonly onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const outbox = useModel(selectOutboxLevel);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  const unsent = outbox.waiting + outbox.failed;
  const go = async (): Promise<void> => {
    setBusy(true);
    const result = await dispatch(signOut());
    setBusy(false);
    if (result.ok) onClose();
    else setProblem(result.problem);
  };
  return (
    <Confirm
      title={t("auth.signOutTitle")}
      text={
        unsent > 0 ? `${t("auth.signOutText")} ${t("auth.signOutUnsent", { count: unsent })}` : t("auth.signOutText")
      }
      action={busy ? t("auth.signingOut") : t("auth.signOut")}
      busy={busy}
      error={why}
      onConfirm={() => void go()}
      onClose={onClose}
    />
  );
}
