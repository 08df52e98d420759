// All shortcuts, and the markup that messages know.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Dialog } from "@/ui/Dialog";
import { altKey, modifierKey } from "../shared/keys";

type Keys = readonly (readonly string[])[];

/** The dialog. */
export function Shortcuts({ onClose }: { readonly onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const mod = modifierKey();
  const alt = altKey();
  const groups: readonly (readonly [string, readonly (readonly [string, Keys])[]])[] = [
    [
      t("shortcuts.groups.go"),
      [
        [t("shortcuts.switcher"), [[mod, "K"]]],
        [t("shortcuts.previous"), [[alt, "↑"]]],
        [t("shortcuts.next"), [[alt, "↓"]]],
        [t("shortcuts.previousUnread"), [[alt, "Shift", "↑"]]],
        [t("shortcuts.nextUnread"), [[alt, "Shift", "↓"]]],
        [t("shortcuts.help"), [["?"], [mod, "/"]]],
      ],
    ],
    [
      t("shortcuts.groups.write"),
      [
        [t("shortcuts.send"), [["Enter"], [mod, "Enter"]]],
        [t("shortcuts.newline"), [["Shift", "Enter"]]],
        [t("shortcuts.emoji"), [[":smile"]]],
      ],
    ],
    [
      t("shortcuts.groups.read"),
      [
        [t("shortcuts.messages"), [["↑"], ["↓"]]],
        [t("shortcuts.close"), [["Esc"]]],
      ],
    ],
  ];
  const markup: readonly (readonly [string, string])[] = [
    ["**…**", t("shortcuts.bold")],
    ["_…_", t("shortcuts.italic")],
    ["~~…~~", t("shortcuts.struck")],
    ["`…`", t("shortcuts.code")],
    ["```", t("shortcuts.block")],
    ["> …", t("shortcuts.quote")],
    ["- …", t("shortcuts.bullets")],
  ];
  return (
    <Dialog title={t("shortcuts.title")} wide onClose={onClose}>
      <div className="shortcuts">
        {groups.map(([name, entries]) => (
          <section key={name}>
            <h3>{name}</h3>
            <dl>
              {entries.map(([what, keys]) => (
                <div className="shortcut" key={what}>
                  <dt>{what}</dt>
                  <dd dir="ltr">
                    {keys.map((chord, at) => (
                      <span key={chord.join("+")}>
                        {at > 0 && <span className="shortcut-or"> {t("shortcuts.or")} </span>}
                        {chord.map((key) => (
                          <kbd key={key}>{key}</kbd>
                        ))}
                      </span>
                    ))}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section>
          <h3>{t("shortcuts.markup")}</h3>
          <dl>
            {markup.map(([sign, what]) => (
              <div className="shortcut" key={sign}>
                <dt>{what}</dt>
                <dd dir="ltr">
                  <code>{sign}</code>
                </dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
    </Dialog>
  );
}
