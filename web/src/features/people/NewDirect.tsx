// Looks for somebody and opens the direct room with them.

import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { openDirect, type Person, type Problem, selectMe } from "@/model";
import { Dialog } from "@/ui/Dialog";
import { Empty, Notice, Skeletons } from "@/ui/Feedback";
import { SearchField } from "@/ui/Field";
import { useModel, useModelDispatch } from "../shared/hooks";
import { roomPath } from "../shared/paths";
import { useProblemText } from "../shared/useProblemText";
import { PersonWords } from "./PeoplePicker";
import { usePeople } from "./usePeople";

/** The dialog. */
export function NewDirect({ onClose }: { readonly onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const navigate = useNavigate();
  const me = useModel(selectMe);
  const [query, setQuery] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const found = usePeople(query, "all");
  const why = useProblemText(problem ?? found.problem);
  const people = found.people.filter((person) => person.userId !== me?.userId);

  const start = async (person: Person): Promise<void> => {
    if (busy) return;
    setBusy(true);
    const result = await dispatch(openDirect(person.userId));
    setBusy(false);
    if (result.ok) {
      onClose();
      void navigate(roomPath(result.value));
    } else {
      setProblem(result.problem);
    }
  };

  const nobody = !found.loading && people.length === 0 && why === undefined;
  return (
    <Dialog title={t("direct.title")} onClose={onClose}>
      <SearchField
        label={t("direct.search")}
        value={query}
        autoFocus
        onChange={(event) => setQuery(event.target.value)}
        onKeyDown={(event) => {
          const first = people[0];
          if (event.key === "Enter" && first !== undefined && !found.loading) void start(first);
        }}
      />
      {why !== undefined && <Notice kind="danger">{why}</Notice>}
      <p className="visually-hidden" role="status">
        {!found.loading && t("direct.results", { count: people.length })}
      </p>
      <div className="rows-scroll">
        {found.loading && people.length === 0 && <Skeletons rows={3} label={t("common.loading")} />}
        {nobody && (
          <Empty icon="people" title={t("direct.none")} level={3}>
            {t("direct.noneText")}
          </Empty>
        )}
        <ul className="rows">
          {people.map((person) => (
            <li key={person.userId}>
              <button type="button" className="row" onClick={() => void start(person)}>
                <PersonWords person={person} />
              </button>
            </li>
          ))}
        </ul>
      </div>
    </Dialog>
  );
}
