// One's own name, as others see it.

import { type ReactNode, type SubmitEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { changeProfile, type Problem, selectMe } from "@/model";
import { Avatar } from "@/ui/Avatar";
import { Button } from "@/ui/Button";
import { TextField } from "@/ui/Field";
import { useModel, useModelDispatch } from "../shared/hooks";
import { DISPLAY_NAME_MAX } from "../shared/limits";
import { useToast } from "../shared/toasts";
import { useProblemText } from "../shared/useProblemText";
import { Section } from "./Section";

/** The section. */
export function Profile(): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const toast = useToast();
  const me = useModel(selectMe);
  const [name, setName] = useState(me?.displayName ?? "");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  if (me === null) return null;

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(null);
    const result = await dispatch(changeProfile({ displayName: name.trim() }));
    setBusy(false);
    if (result.ok) toast(t("settings.nameSaved"));
    else setProblem(result.problem);
  };

  const unchanged = name.trim() === me.displayName || name.trim() === "";
  return (
    <Section title={t("settings.profile")}>
      <div className="settings-me">
        <Avatar id={me.userId} name={me.displayName} size="large" />
        <div className="row-words">
          <span className="row-title">
            <bdi>{me.displayName}</bdi>
          </span>
          <span className="row-sub">
            <bdi>@{me.username}</bdi>
          </span>
        </div>
      </div>
      <form className="stack" onSubmit={(event) => void submit(event)} noValidate>
        <TextField
          label={t("auth.displayName")}
          hint={t("auth.displayNameHint")}
          error={why}
          value={name}
          maxLength={DISPLAY_NAME_MAX}
          autoComplete="name"
          onChange={(event) => setName(event.target.value)}
        />
        <Button kind="primary" type="submit" isDisabled={busy || unchanged}>
          {busy ? t("common.saving") : t("common.save")}
        </Button>
      </form>
    </Section>
  );
}
