// Asks before a message is taken back, and says why when that did not work.

import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { type Message, type Problem, takeBack } from "@/model";
import { Confirm } from "@/ui/Dialog";
import { useModelDispatch } from "../shared/hooks";
import { useProblemText } from "../shared/useProblemText";

/** The question; it closes itself when the message is taken back. */
export function DeleteMessage({
  message,
  onClose,
}: {
  readonly message: Message;
  readonly onClose: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);

  const go = async (): Promise<void> => {
    if (message.seq === undefined) return;
    setBusy(true);
    const result = await dispatch(takeBack(message.roomId, message.seq));
    setBusy(false);
    if (result.ok) onClose();
    else setProblem(result.problem);
  };

  return (
    <Confirm
      title={t("timeline.deleteTitle")}
      text={t("timeline.deleteText")}
      action={t("common.delete")}
      busy={busy}
      error={why}
      onConfirm={() => void go()}
      onClose={onClose}
    />
  );
}
