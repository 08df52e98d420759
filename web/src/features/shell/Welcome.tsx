// What stands beside the list while no conversation is open.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { selectRoomList } from "@/model";
import { Button } from "@/ui/Button";
import { Empty } from "@/ui/Feedback";
import { useDialogs } from "../shared/dialogs";
import { useModel } from "../shared/hooks";
import { modifierKey } from "../shared/keys";
import { FIND } from "../shared/paths";
import { usePageTitle } from "../shared/usePageTitle";

/** The first thing that somebody new sees: the ways to a first message. */
export function Welcome(): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const dialogs = useDialogs();
  const rooms = useModel(selectRoomList);
  usePageTitle("");
  if (rooms.length > 0) {
    return (
      <Empty icon="message" title={t("rooms.choose")} level={1}>
        {t("rooms.chooseText", { key: `${modifierKey()}+K` })}
      </Empty>
    );
  }
  return (
    <Empty
      icon="message"
      level={1}
      title={t("rooms.welcome")}
      actions={
        <>
          <Button kind="primary" icon="compass" onPress={() => void navigate(FIND)}>
            {t("rooms.find")}
          </Button>
          <Button icon="plus" onPress={() => dialogs.open("createRoom")}>
            {t("rooms.create")}
          </Button>
          <Button icon="userPlus" onPress={() => dialogs.open("direct")}>
            {t("rooms.message")}
          </Button>
        </>
      }
    >
      {t("rooms.noneText")}
    </Empty>
  );
}
