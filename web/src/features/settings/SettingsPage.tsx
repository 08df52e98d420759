// What this person and this device like. Fetched when it is opened.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "@/ui/Button";
import { useDialogs } from "../shared/dialogs";
import { PaneHead } from "../shared/PaneHead";
import { usePageTitle } from "../shared/usePageTitle";
import { Install } from "./Install";
import { Look } from "./Look";
import { Password } from "./Password";
import { Preferences } from "./Preferences";
import { Profile } from "./Profile";
import { Sessions } from "./Sessions";

/** All settings on one page, section by section. */
export default function SettingsPage(): ReactNode {
  const { t } = useTranslation();
  const dialogs = useDialogs();
  usePageTitle(t("settings.title"));
  return (
    <>
      <PaneHead title={t("settings.title")} level={1} />
      <div className="pane-body">
        <div className="settings">
          <Profile />
          <Look />
          <Preferences />
          <Sessions />
          <Password />
          <Install />
          <section className="settings-section settings-out">
            <Button icon="keyboard" onPress={() => dialogs.open("shortcuts")}>
              {t("shortcuts.title")}
            </Button>
            <Button kind="danger" icon="exit" onPress={() => dialogs.open("signOut")}>
              {t("auth.signOut")}
            </Button>
          </section>
          <p className="field-hint">{t("settings.version")}</p>
        </div>
      </div>
    </>
  );
}
