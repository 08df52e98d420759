// Changes a room's name and description. For owners.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { changeRoom, type Problem, type Room } from "@/model";
import { RoomForm, type RoomWords } from "../rooms/RoomForm";
import { useModelDispatch } from "../shared/hooks";

/** The dialog. */
export function EditRoom({ room, onClose }: { readonly room: Room; readonly onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();

  const save = async ({ name, description }: RoomWords): Promise<Problem | null> => {
    // Only what is different: somebody else may be changing the other one.
    const change = {
      ...(name === room.name ? {} : { name }),
      ...(description === room.description ? {} : { description }),
    };
    const result = await dispatch(changeRoom(room.roomId, change));
    if (!result.ok) return result.problem;
    onClose();
    return null;
  };

  return (
    <RoomForm
      title={t("details.settings")}
      start={{ name: room.name, description: room.description }}
      action={t("common.save")}
      working={t("common.saving")}
      save={save}
      onClose={onClose}
    />
  );
}
