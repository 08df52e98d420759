// Another password; ends all other sessions.

import { type ReactNode, type SubmitEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { changePassword, loadLogins, type Problem, selectMe } from "@/model";
import { Button } from "@/ui/Button";
import { Notice } from "@/ui/Feedback";
import { PasswordField } from "@/ui/Field";
import { scalars } from "../composer/text";
import { useModel, useModelDispatch } from "../shared/hooks";
import { PASSWORD_MAX, PASSWORD_MIN } from "../shared/limits";
import { useToast } from "../shared/toasts";
import { useProblemText } from "../shared/useProblemText";
import { Section } from "./Section";

/** The section. */
export function Password(): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const toast = useToast();
  const me = useModel(selectMe);
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [short, setShort] = useState(false);
  const [missing, setMissing] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  const aboutCurrent = problem?.code === "bad_credentials";
  const aboutNext = problem?.code === "bad_password";

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const tooShort = scalars(next) < PASSWORD_MIN;
    setShort(tooShort);
    setMissing(current === "");
    if (tooShort || current === "" || busy) return;
    setBusy(true);
    setProblem(null);
    const result = await dispatch(changePassword(current, next));
    setBusy(false);
    if (result.ok) {
      setCurrent("");
      setNext("");
      toast(t("settings.passwordChanged"));
      void dispatch(loadLogins());
    } else {
      setProblem(result.problem);
    }
  };

  return (
    <Section title={t("settings.password")}>
      {why !== undefined && !aboutCurrent && !aboutNext && <Notice kind="danger">{why}</Notice>}
      <form className="stack" onSubmit={(event) => void submit(event)} noValidate>
        {/* Tells password managers whose password this is. */}
        <input type="text" name="username" autoComplete="username" value={me?.username ?? ""} readOnly hidden />
        <PasswordField
          label={t("settings.currentPassword")}
          error={missing ? t("auth.passwordMissing") : aboutCurrent ? why : undefined}
          value={current}
          autoComplete="current-password"
          maxLength={PASSWORD_MAX}
          onChange={(event) => setCurrent(event.target.value)}
        />
        <PasswordField
          label={t("settings.newPassword")}
          hint={t("auth.newPasswordHint")}
          error={short ? t("auth.passwordShort") : aboutNext ? why : undefined}
          value={next}
          autoComplete="new-password"
          maxLength={PASSWORD_MAX}
          onChange={(event) => setNext(event.target.value)}
        />
        <Button type="submit" isDisabled={busy}>
          {busy ? t("common.saving") : t("settings.changePassword")}
        </Button>
      </form>
    </Section>
  );
}
