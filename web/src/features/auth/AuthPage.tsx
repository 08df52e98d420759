// The first page: sign in, or make an account with a name and a password. Mistakes are told at their field, before and after asking
// the server.

import { type ReactNode, type SubmitEvent, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { type Person, type Problem, type Result, selectSession, signIn, signUp } from "@/model";
import { Button } from "@/ui/Button";
import { Notice } from "@/ui/Feedback";
import { PasswordField, TextField } from "@/ui/Field";
import { Logo } from "@/ui/Icon";
import { scalars } from "../composer/text";
import { useModel, useModelDispatch } from "../shared/hooks";
import { DISPLAY_NAME_MAX, PASSWORD_MAX, PASSWORD_MIN } from "../shared/limits";
import { SIGN_IN, SIGN_UP } from "../shared/paths";
import { useProblemText } from "../shared/useProblemText";

type Mistakes = Partial<Record<"username" | "password" | "display_name" | "invite", string>>;

/** Which fields the server's refusals belong to. */
const FIELD_OF: Readonly<Record<string, keyof Mistakes>> = { name_taken: "username", bad_password: "password" };

/** Sign-in and sign-up. */
export function AuthPage({ kind }: { readonly kind: "signIn" | "signUp" }): ReactNode {
  const { t } = useTranslation();
  const { ended } = useModel(selectSession);
  useEffect(() => {
    document.title = `${t(`auth.${kind}`)} · ${t("common.appName")}`;
  }, [kind, t]);
  return (
    <main className="page" id="main">
      <div className="auth">
        <div className="auth-brand">
          <Logo />
          <p className="auth-name">{t("common.appName")}</p>
          <p className="auth-tagline">{t("auth.tagline")}</p>
        </div>
        <div className="auth-card">
          <div>
            <h1>{t(`auth.${kind}Title`)}</h1>
            <p className="auth-lead">{t(`auth.${kind}Lead`)}</p>
          </div>
          {ended !== null && kind === "signIn" && <Notice kind="warn">{t(`auth.ended.${ended}`)}</Notice>}
          <AuthForm key={kind} kind={kind} />
        </div>
        <p className="auth-switch">
          {kind === "signIn" ? t("auth.toSignUp") : t("auth.toSignIn")}{" "}
          <Link to={kind === "signIn" ? SIGN_UP : SIGN_IN}>
            {kind === "signIn" ? t("auth.signUp") : t("auth.signIn")}
          </Link>
        </p>
      </div>
    </main>
  );
}

function AuthForm({ kind }: { readonly kind: "signIn" | "signUp" }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const [query] = useSearchParams();
  const invited = query.get("invite") ?? "";
  const form = useRef<HTMLFormElement>(null);
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [displayName, setDisplayName] = useState("");
  const [invite, setInvite] = useState(invited);
  const [mistakes, setMistakes] = useState<Mistakes>({});
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  // What is drawn comes a moment later than a second press.
  const asking = useRef(false);
  const [refusals, setRefusals] = useState(0);
  const why = useProblemText(problem);
  const field = fieldOf(problem);
  const askInvite = invited !== "" || problem?.code === "signup_closed" || invite !== "";
  const making = kind === "signUp";

  const at = (name: keyof Mistakes): string | undefined => mistakes[name] ?? (field === name ? why : undefined);
  /** Moves the focus to the first field that is wrong, once it says so. */
  const toMistake = (): void => setRefusals((count) => count + 1);
  // After the marks are in the page: a frame that was asked for beside them may come sooner.
  useEffect(() => {
    if (refusals > 0) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [refusals]);

  const enter = (): Promise<Result<Person>> =>
    making
      ? dispatch(
          signUp({
            username: username.trim(),
            password,
            ...(displayName.trim() === "" ? {} : { displayName: displayName.trim() }),
            ...(invite.trim() === "" ? {} : { invite: invite.trim() }),
          }),
        )
      : dispatch(signIn(username.trim(), password));

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (asking.current) return;
    const found: Mistakes = {
      ...(username.trim() === "" ? { username: t("auth.usernameMissing") } : {}),
      ...(password === "" ? { password: t("auth.passwordMissing") } : {}),
      ...(making && password !== "" && scalars(password) < PASSWORD_MIN ? { password: t("auth.passwordShort") } : {}),
    };
    setMistakes(found);
    setProblem(null);
    if (Object.keys(found).length > 0) {
      toMistake();
      return;
    }
    asking.current = true;
    setBusy(true);
    const result = await enter().finally(() => {
      asking.current = false;
      setBusy(false);
    });
    if (!result.ok) {
      setProblem(result.problem);
      toMistake();
    }
  };

  return (
    <form ref={form} className="stack" onSubmit={(event) => void submit(event)} noValidate>
      {why !== undefined && field === undefined && <Notice kind="danger">{why}</Notice>}
      <TextField
        label={t("auth.username")}
        hint={making ? t("auth.usernameHint") : undefined}
        error={at("username")}
        name="username"
        value={username}
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        dir="ltr"
        required
        maxLength={64}
        onChange={(event) => setUsername(event.target.value)}
      />
      {making && (
        <TextField
          label={`${t("auth.displayName")} (${t("common.optional")})`}
          hint={t("auth.displayNameHint")}
          error={at("display_name")}
          name="name"
          value={displayName}
          autoComplete="name"
          maxLength={DISPLAY_NAME_MAX}
          onChange={(event) => setDisplayName(event.target.value)}
        />
      )}
      <PasswordField
        label={t("auth.password")}
        hint={making ? t("auth.newPasswordHint") : undefined}
        error={at("password")}
        name="password"
        value={password}
        autoComplete={making ? "new-password" : "current-password"}
        required
        maxLength={PASSWORD_MAX}
        onChange={(event) => setPassword(event.target.value)}
      />
      {making && askInvite && (
        <TextField
          label={t("auth.invite")}
          hint={t("auth.inviteHint")}
          error={at("invite")}
          value={invite}
          autoComplete="off"
          dir="ltr"
          onChange={(event) => setInvite(event.target.value)}
        />
      )}
      <Button kind="primary" type="submit" wide isDisabled={busy}>
        {busy ? t(making ? "auth.signingUp" : "auth.signingIn") : t(`auth.${kind}`)}
      </Button>
    </form>
  );
}

/** The field that a refusal is about, when there is one on this form. */
function fieldOf(problem: Problem | null): keyof Mistakes | undefined {
  if (problem === null) return undefined;
  const named = FIELD_OF[problem.code];
  if (named !== undefined) return named;
  const { field } = problem;
  if (field === "username" || field === "password" || field === "display_name") return field;
  return undefined;
}
