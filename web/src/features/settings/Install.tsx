// Offers to install the app, where the browser can.

import { type ReactNode, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "@/ui/Button";
import { type InstallOffer, installOffer } from "../shared/install";
import { Section } from "./Section";

/** The section; nothing where there is no offer. */
export function Install(): ReactNode {
  const { t } = useTranslation();
  const offer = useSyncExternalStore<InstallOffer | null>(installOffer.watch, installOffer.get);
  if (offer === null) return null;
  return (
    <Section title={t("settings.install")} lead={t("settings.installText")}>
      <Button icon="plus" onPress={() => void offer.prompt()}>
        {t("settings.install")}
      </Button>
    </Section>
  );
}
