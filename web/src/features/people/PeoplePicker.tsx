// Chooses several people by name: what is found stands below the field as buttons, what is chosen as chips.

import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { isolate } from "@/i18n";
import { type Person, selectMe } from "@/model";
import { Avatar } from "@/ui/Avatar";
import { IconButton } from "@/ui/Button";
import { SearchField } from "@/ui/Field";
import { Icon } from "@/ui/Icon";
import { useModel } from "../shared/hooks";
import { useProblemText } from "../shared/useProblemText";
import { usePeople } from "./usePeople";

const SHOWN_MAX = 6;

/** A field that gathers people. */
export function PeoplePicker({
  label,
  chosen,
  without = [],
  onChange,
}: {
  readonly label: string;
  readonly chosen: readonly Person[];
  /** Who is not offered, beside oneself. */
  readonly without?: readonly string[];
  readonly onChange: (people: readonly Person[]) => void;
}): ReactNode {
  const { t } = useTranslation();
  const me = useModel(selectMe);
  const [query, setQuery] = useState("");
  const found = usePeople(query, "nobody");
  const why = useProblemText(found.problem);
  const hidden = new Set([me?.userId, ...without, ...chosen.map((person) => person.userId)]);
  const offered = found.people.filter((person) => !hidden.has(person.userId)).slice(0, SHOWN_MAX);

  return (
    <div className="field">
      <span className="field-label">{label}</span>
      {chosen.length > 0 && (
        <ul className="chips">
          {chosen.map((person) => (
            <li className="chip" key={person.userId}>
              <bdi className="truncate">{person.displayName}</bdi>
              <IconButton
                icon="close"
                label={t("create.remove", { name: isolate(person.displayName) })}
                onPress={() => onChange(chosen.filter((other) => other.userId !== person.userId))}
              />
            </li>
          ))}
        </ul>
      )}
      <SearchField
        label={label}
        placeholder={t("direct.search")}
        value={query}
        onChange={(event) => setQuery(event.target.value)}
        onKeyDown={(event) => {
          // Enter here takes the first one found; it does not send the form.
          if (event.key !== "Enter") return;
          event.preventDefault();
          const first = offered[0];
          if (first !== undefined) {
            onChange([...chosen, first]);
            setQuery("");
          }
        }}
      />
      {why !== undefined && <p className="field-error">{why}</p>}
      <p className="field-hint" role="status">
        {query.trim() !== "" && !found.loading && why === undefined && t("direct.results", { count: offered.length })}
      </p>
      {offered.length > 0 && (
        <ul className="rows">
          {offered.map((person) => (
            <li key={person.userId}>
              <button
                type="button"
                className="row"
                onClick={() => {
                  onChange([...chosen, person]);
                  setQuery("");
                }}
              >
                <PersonWords person={person} />
                <Icon name="plus" />
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** Picture, name and username of somebody, for rows. */
export function PersonWords({
  person,
  note,
}: {
  readonly person: Person;
  readonly note?: string | undefined;
}): ReactNode {
  return (
    <>
      <Avatar id={person.userId} name={person.displayName} />
      <span className="row-words">
        <span className="row-title row-name">
          <bdi className="truncate">{person.displayName}</bdi>
          {note !== undefined && <span className="row-note"> ({note})</span>}
        </span>
        <span className="row-sub truncate">
          <bdi>@{person.username}</bdi>
        </span>
      </span>
    </>
  );
}
