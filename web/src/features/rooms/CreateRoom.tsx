// Makes a room: a name and who may come in; the rest is optional.

import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { createRoom, type Person, type Problem } from "@/model";
import { Choice } from "@/ui/Field";
import { PeoplePicker } from "../people/PeoplePicker";
import { useModelDispatch } from "../shared/hooks";
import { roomPath } from "../shared/paths";
import { RoomForm, type RoomWords } from "./RoomForm";

/** The dialog. */
export function CreateRoom({ onClose }: { readonly onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const navigate = useNavigate();
  const [type, setType] = useState<"public" | "private">("public");
  const [people, setPeople] = useState<readonly Person[]>([]);

  const save = async (words: RoomWords): Promise<Problem | null> => {
    const members = people.map((person) => person.userId);
    const result = await dispatch(createRoom({ type, ...words, members }));
    if (!result.ok) return result.problem;
    onClose();
    void navigate(roomPath(result.value));
    return null;
  };

  return (
    <RoomForm
      title={t("create.title")}
      action={t("create.submit")}
      working={t("create.working")}
      save={save}
      onClose={onClose}
      between={
        <fieldset className="field plain">
          <legend className="field-label">{t("create.type")}</legend>
          <div className="choices">
            {(["public", "private"] as const).map((kind) => (
              <Choice
                key={kind}
                name="type"
                title={t(`create.${kind}`)}
                hint={t(`create.${kind}Hint`)}
                checked={type === kind}
                onChange={() => setType(kind)}
              />
            ))}
          </div>
        </fieldset>
      }
      more={
        <PeoplePicker label={`${t("create.people")} (${t("common.optional")})`} chosen={people} onChange={setPeople} />
      }
    />
  );
}
