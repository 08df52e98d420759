// Theme, density, motion, language. Kept in this browser.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { LANGUAGES } from "@/i18n";
import { selectSettings, setSettings } from "@/model";
import { useModel, useModelDispatch } from "../shared/hooks";
import { Choices, Section } from "./Section";

const THEMES = ["system", "light", "dark", "contrast"] as const;
const DENSITIES = ["comfortable", "compact"] as const;
const MOTIONS = ["system", "reduced"] as const;

/** The section. */
export function Look(): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const settings = useModel(selectSettings);
  const languages = [
    { value: "", label: t("settings.languageSystem") },
    ...LANGUAGES.map((language) => ({ value: language.tag, label: language.name, lang: language.tag })),
  ];
  return (
    <Section title={t("settings.look")}>
      <Choices
        legend={t("settings.theme")}
        name="theme"
        value={settings.theme}
        options={THEMES.map((value) => ({ value, label: t(`settings.themes.${value}`) }))}
        onChange={(theme) => dispatch(setSettings({ theme }))}
      />
      <Choices
        legend={t("settings.density")}
        name="density"
        value={settings.density}
        options={DENSITIES.map((value) => ({ value, label: t(`settings.densities.${value}`) }))}
        onChange={(density) => dispatch(setSettings({ density }))}
      />
      <Choices
        legend={t("settings.motion")}
        name="motion"
        value={settings.motion}
        options={MOTIONS.map((value) => ({ value, label: t(`settings.motions.${value}`) }))}
        onChange={(motion) => dispatch(setSettings({ motion }))}
      />
      <Choices
        legend={t("settings.language")}
        name="language"
        value={settings.language}
        options={languages}
        onChange={(language) => dispatch(setSettings({ language }))}
      />
    </Section>
  );
}
