/* Labelled fields of forms. A mistake is told below the field, in words, and tied to it for screen readers. */

import type { ComponentProps, ReactNode } from "react";
import { useId, useState } from "react";
import { useTranslation } from "react-i18next";

import { IconButton } from "./Button";
import { Icon } from "./Icon";

interface Common {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly error?: string | undefined;
}

/** A field of one line. */
export type TextFieldProps = Common & Omit<ComponentProps<"input">, "id" | "className">;

/** A field of one line. */
export function TextField({ label, hint, error, ...rest }: TextFieldProps): ReactNode {
  const id = useId();
  return (
    <Framed id={id} label={label} hint={hint} error={error}>
      <input {...rest} {...described(id, hint, error)} id={id} className="input" dir={rest.dir ?? "auto"} />
    </Framed>
  );
}

/** A field for a password, which can be shown. */
export function PasswordField({ label, hint, error, ...rest }: TextFieldProps): ReactNode {
  const id = useId();
  const [shown, setShown] = useState(false);
  const { t } = useTranslation();
  return (
    <Framed id={id} label={label} hint={hint} error={error}>
      <div className="input-with-button">
        <input
          {...rest}
          {...described(id, hint, error)}
          id={id}
          className="input"
          type={shown ? "text" : "password"}
          dir="ltr"
          autoCapitalize="none"
          spellCheck={false}
        />
        <IconButton
          icon="eye"
          label={shown ? t("auth.hidePassword") : t("auth.showPassword")}
          onPress={() => {
            setShown(!shown);
          }}
        />
      </div>
    </Framed>
  );
}

/** A field of several lines. */
export function TextArea({
  label,
  hint,
  error,
  ...rest
}: Common & Omit<ComponentProps<"textarea">, "id" | "className">): ReactNode {
  const id = useId();
  return (
    <Framed id={id} label={label} hint={hint} error={error}>
      <textarea {...rest} {...described(id, hint, error)} id={id} className="input" dir="auto" />
    </Framed>
  );
}

/** A field to look something up, with a glass. */
export function SearchField({
  label,
  ...rest
}: { readonly label: string } & Omit<ComponentProps<"input">, "className">): ReactNode {
  return (
    <div className="search-field">
      <Icon name="search" />
      <input
        {...rest}
        type="search"
        aria-label={label}
        placeholder={rest.placeholder ?? label}
        className="input"
        dir="auto"
        autoComplete="off"
      />
    </div>
  );
}

/** One of several choices, as a large radio button. */
export function Choice({
  title,
  hint,
  ...rest
}: { readonly title: string; readonly hint?: string } & Omit<
  ComponentProps<"input">,
  "type" | "className" | "title"
>): ReactNode {
  const id = useId();
  return (
    <label className="choice">
      <input {...rest} type="radio" aria-describedby={hint === undefined ? undefined : id} />
      <span>
        <span className="choice-title">{title}</span>
        {hint !== undefined && (
          <span className="choice-hint" id={id}>
            {hint}
          </span>
        )}
      </span>
    </label>
  );
}

function Framed({
  id,
  label,
  hint,
  error,
  children,
}: Common & { readonly id: string; readonly children: ReactNode }): ReactNode {
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {label}
      </label>
      {children}
      {hint !== undefined && error === undefined && (
        <p className="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p className="field-error" id={`${id}-error`}>
          <Icon name="alert" size="small" />
          <span>{error}</span>
        </p>
      )}
    </div>
  );
}

function described(
  id: string,
  hint: string | undefined,
  error: string | undefined,
): ComponentProps<"input"> & ComponentProps<"textarea"> {
  if (error !== undefined) return { "aria-invalid": true, "aria-describedby": `${id}-error` };
  return hint === undefined ? {} : { "aria-describedby": `${id}-hint` };
}
