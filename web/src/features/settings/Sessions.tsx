// Where one is signed in, and how to end that.

import { type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { isolate } from "@/i18n";
import { ago, fullTime } from "@/i18n/time";
import { endLogin, type Login, loadLogins, type Problem, selectLogins } from "@/model";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Dialog";
import { Notice, Skeletons } from "@/ui/Feedback";
import { useModel, useModelDispatch } from "../shared/hooks";
import { useToast } from "../shared/toasts";
import { useNow } from "../shared/useNow";
import { useProblemText } from "../shared/useProblemText";
import { programOf } from "./agent";
import { Section } from "./Section";

/** The section. */
export function Sessions(): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const toast = useToast();
  const logins = useModel(selectLogins);
  const now = useNow(60_000);
  const [ending, setEnding] = useState<Login | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  const loadWhy = useProblemText(logins.problem);

  useEffect(() => {
    void dispatch(loadLogins());
  }, [dispatch]);

  const end = async (): Promise<void> => {
    if (ending === null) return;
    setBusy(true);
    setProblem(null);
    const result = await dispatch(endLogin(ending.sessionId));
    setBusy(false);
    if (result.ok) {
      setEnding(null);
      toast(t("settings.sessionEnded"));
      void dispatch(loadLogins());
    } else {
      setProblem(result.problem);
    }
  };

  return (
    <Section title={t("settings.sessions")} lead={t("settings.sessionsLead")}>
      {loadWhy !== undefined && (
        <Notice kind="danger" action={<Button onPress={() => void dispatch(loadLogins())}>{t("common.retry")}</Button>}>
          {loadWhy}
        </Notice>
      )}
      {logins.loading && logins.list.length === 0 && <Skeletons rows={2} label={t("common.loading")} />}
      <ul className="rows">
        {logins.list.map((login) => (
          <OneSession key={login.sessionId} login={login} now={now} onEnd={() => setEnding(login)} />
        ))}
      </ul>
      {ending !== null && (
        <Confirm
          title={t("settings.endTitle")}
          text={t("settings.endText")}
          action={t("settings.endSession")}
          busy={busy}
          error={why}
          onConfirm={() => void end()}
          onClose={() => setEnding(null)}
        />
      )}
    </Section>
  );
}

function OneSession({
  login,
  now,
  onEnd,
}: {
  readonly login: Login;
  readonly now: number;
  readonly onEnd: () => void;
}): ReactNode {
  const { t, i18n } = useTranslation();
  const { browser, system } = programOf(login.agent);
  const name =
    browser === undefined
      ? login.agent === ""
        ? t("settings.unknownAgent")
        : login.agent
      : t("settings.agent", { browser, system: system ?? "?" });
  return (
    <li className="row">
      <span className="row-words">
        <span className="row-title">
          <bdi>{name}</bdi>
        </span>
        <span className="row-sub" title={fullTime(login.usedAt, i18n.language)}>
          {t("settings.lastUsed", { when: ago(login.usedAt, now, i18n.language) })} ·{" "}
          {t("settings.signedInAt", { when: ago(login.createdAt, now, i18n.language) })}
        </span>
      </span>
      {login.current ? (
        <span className="tag" data-kind="accent">
          {t("settings.thisSession")}
        </span>
      ) : (
        <Button onPress={onEnd} aria-label={t("settings.endSessionNamed", { name: isolate(name) })}>
          {t("settings.endSession")}
        </Button>
      )}
    </li>
  );
}
