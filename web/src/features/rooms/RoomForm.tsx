// What a room is called and what it is about, in a dialog: the same for a new room and for one that is changed. Checks what can be checked
// here; a refusal of the name stands at the name, every other above the fields.

import { type ReactNode, type SubmitEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Problem } from "@/model";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Notice } from "@/ui/Feedback";
import { TextArea, TextField } from "@/ui/Field";
import { ROOM_DESCRIPTION_MAX, ROOM_NAME_MAX } from "../shared/limits";
import { useProblemText } from "../shared/useProblemText";

/** What was written, without blanks around it. */
export interface RoomWords {
  readonly name: string;
  readonly description: string;
}

/** The dialog. `save` answers why it did not work, or null; whoever saves closes. */
export function RoomForm({
  title,
  start = { name: "", description: "" },
  action,
  working,
  between,
  more,
  save,
  onClose,
}: {
  readonly title: string;
  readonly start?: RoomWords;
  readonly action: string;
  readonly working: string;
  /** Stands between name and description. */
  readonly between?: ReactNode;
  /** Stands below the description. */
  readonly more?: ReactNode;
  readonly save: (words: RoomWords) => Promise<Problem | null>;
  readonly onClose: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const [name, setName] = useState(start.name);
  const [description, setDescription] = useState(start.description);
  const [missing, setMissing] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  const aboutName = problem?.field === "name" || problem?.code === "name_taken" || problem?.code === "bad_name";

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    const words = { name: name.trim(), description: description.trim() };
    setMissing(words.name === "");
    setProblem(null);
    if (words.name === "") return;
    setBusy(true);
    const refusal = await save(words);
    setBusy(false);
    setProblem(refusal);
  };

  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        {why !== undefined && !aboutName && <Notice kind="danger">{why}</Notice>}
        <TextField
          label={t("create.name")}
          hint={t("create.nameHint")}
          error={missing ? t("create.nameMissing") : aboutName ? why : undefined}
          value={name}
          maxLength={ROOM_NAME_MAX}
          autoComplete="off"
          autoFocus
          onChange={(event) => setName(event.target.value)}
        />
        {between}
        <TextArea
          label={`${t("create.description")} (${t("common.optional")})`}
          value={description}
          maxLength={ROOM_DESCRIPTION_MAX}
          rows={3}
          onChange={(event) => setDescription(event.target.value)}
        />
        {more}
        <div className="dialog-actions">
          <Button onPress={onClose}>{t("common.cancel")}</Button>
          <Button kind="primary" type="submit" isDisabled={busy}>
            {busy ? working : action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
