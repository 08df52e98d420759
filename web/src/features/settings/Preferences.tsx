// Notifications, sound and writing. Permission is asked for when the switch is turned on, never before.

import { type ReactNode, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { selectSettings, setSettings } from "@/model";
import { Notice } from "@/ui/Feedback";
import { soundTone } from "../notifications/tone";
import { useModel, useModelDispatch } from "../shared/hooks";
import { Section, Toggle } from "./Section";

/** The two sections. */
export function Preferences(): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const settings = useModel(selectSettings);
  const [denied, setDenied] = useState(false);
  // The switch moves with the finger; it goes back if the browser, or who is asked by it, says no.
  const [asking, setAsking] = useState(false);
  const wanted = useRef(settings.notifications);
  const possible = "Notification" in window;

  const notify = async (on: boolean): Promise<void> => {
    wanted.current = on;
    setAsking(on);
    if (!on) {
      dispatch(setSettings({ notifications: false }));
      return;
    }
    const answer = await Notification.requestPermission();
    // Who has turned it off while the question stood has answered it.
    if (!wanted.current) return;
    wanted.current = answer === "granted";
    setAsking(false);
    setDenied(answer !== "granted");
    dispatch(setSettings({ notifications: answer === "granted" }));
  };

  // What is turned on is heard once: so one knows what it is, and whether the speakers are on.
  const sound = (sounds: boolean): void => {
    dispatch(setSettings({ sounds }));
    if (sounds) void soundTone();
  };

  return (
    <>
      <Section title={t("settings.notifications")}>
        <Toggle
          label={t("settings.notify")}
          hint={t("settings.notifyHint")}
          checked={settings.notifications || asking}
          disabled={!possible}
          onChange={(on) => void notify(on)}
        />
        <Toggle
          label={t("settings.sounds")}
          hint={t("settings.soundsHint")}
          checked={settings.sounds}
          onChange={sound}
        />
        {(denied || !possible) && <Notice kind="warn">{t("settings.notifyDenied")}</Notice>}
      </Section>
      <Section title={t("settings.writing")}>
        <Toggle
          label={t("settings.typing")}
          checked={settings.sendTyping}
          onChange={(sendTyping) => dispatch(setSettings({ sendTyping }))}
        />
        <Toggle
          label={t("settings.enterSends")}
          hint={t("settings.enterSendsHint")}
          checked={settings.enterSends}
          onChange={(enterSends) => dispatch(setSettings({ enterSends }))}
        />
      </Section>
    </>
  );
}
