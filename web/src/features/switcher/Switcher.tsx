// Ctrl/Cmd+K: jump to a room or person by a few letters, without a mouse. The field keeps the focus; arrow keys choose.

import { type KeyboardEvent, type ReactNode, useDeferredValue, useId, useMemo, useState } from "react";
import { Dialog as AriaDialog, Modal, ModalOverlay } from "react-aria-components";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { openDirect, type Problem, selectMe, selectRoomList } from "@/model";
import { Notice } from "@/ui/Feedback";
import { Icon, type IconName } from "@/ui/Icon";
import { PersonWords } from "../people/PeoplePicker";
import { usePeople } from "../people/usePeople";
import { RoomMark } from "../rooms/RoomMark";
import { type DialogName, useDialogs } from "../shared/dialogs";
import { useModel, useModelDispatch } from "../shared/hooks";
import { FIND, roomPath, SETTINGS } from "../shared/paths";
import { useProblemText } from "../shared/useProblemText";
import { fuzzy } from "./fuzzy";

/** As many as a person looks through. */
const ROOMS_MAX = 12;
const PEOPLE_MAX = 6;

interface Option {
  readonly key: string;
  readonly view: ReactNode;
  readonly run: () => Promise<Problem | null>;
}

/** The dialog. */
export function Switcher({ onClose }: { readonly onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const id = useId();
  const [query, setQuery] = useState("");
  const [chosen, setChosen] = useState(0);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  const options = useOptions(useDeferredValue(query), onClose);
  const at = Math.min(chosen, Math.max(0, options.length - 1));

  const run = async (option: Option | undefined): Promise<void> => {
    if (option !== undefined) setProblem(await option.run());
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "ArrowDown") setChosen(options.length === 0 ? 0 : (at + 1) % options.length);
    else if (event.key === "ArrowUp") setChosen(options.length === 0 ? 0 : (at + options.length - 1) % options.length);
    else if (event.key === "Enter") void run(options[at]);
    else return;
    event.preventDefault();
  };

  return (
    <ModalOverlay
      className="scrim"
      data-place="top"
      isOpen
      isDismissable
      onOpenChange={(open) => {
        if (!open) onClose();
      }}
    >
      <Modal className="modal" data-wide>
        <AriaDialog className="dialog switcher" aria-label={t("switcher.title")}>
          <div className="search-field">
            <Icon name="search" />
            <input
              className="input"
              role="combobox"
              dir="auto"
              aria-label={t("switcher.placeholder")}
              placeholder={t("switcher.placeholder")}
              aria-expanded={options.length > 0}
              aria-controls={`${id}-list`}
              aria-activedescendant={options.length > 0 ? `${id}-${at}` : undefined}
              aria-autocomplete="list"
              autoComplete="off"
              // biome-ignore lint/a11y/noAutofocus: the dialog was opened to write this
              autoFocus
              value={query}
              onChange={(event) => {
                setQuery(event.target.value);
                setChosen(0);
              }}
              onKeyDown={onKeyDown}
            />
          </div>
          {why !== undefined && <Notice kind="danger">{why}</Notice>}
          <div className="rows-scroll" role="listbox" id={`${id}-list`} aria-label={t("switcher.title")}>
            {options.map((option, place) => (
              // The field has the focus and handles the keys.
              // biome-ignore lint/a11y/useFocusableInteractive: chosen by aria-activedescendant
              // biome-ignore lint/a11y/useKeyWithClickEvents: the field handles the keys
              <div
                key={option.key}
                id={`${id}-${place}`}
                className="row"
                role="option"
                aria-selected={place === at}
                ref={place === at ? keepInView : undefined}
                onClick={() => void run(option)}
                onPointerMove={() => setChosen(place)}
              >
                {option.view}
              </div>
            ))}
          </div>
          <p className={options.length === 0 ? "field-hint" : "visually-hidden"} role="status">
            {options.length === 0 ? t("switcher.none") : t("switcher.results", { count: options.length })}
          </p>
          <p className="field-hint">{t("switcher.hint")}</p>
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

function isPath(to: string): to is `/${string}` {
  return to.startsWith("/");
}

function keepInView(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: "nearest" });
}

function useOptions(query: string, onClose: () => void): readonly Option[] {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const dispatch = useModelDispatch();
  const dialogs = useDialogs();
  const rooms = useModel(selectRoomList);
  const me = useModel(selectMe);
  const found = usePeople(query, "nobody");

  return useMemo(() => {
    const go = (path: string) => (): Promise<null> => {
      onClose();
      void navigate(path);
      return Promise.resolve(null);
    };
    const text = query.trim();
    const unreadFirst = [...rooms].sort((a, b) => Number(b.unread > 0) - Number(a.unread > 0));
    const hits = text === "" ? unreadFirst : fuzzy(rooms, text, (item) => item.title);
    const options: Option[] = hits.slice(0, ROOMS_MAX).map((item) => ({
      key: item.room.roomId,
      run: go(roomPath(item.room.roomId)),
      view: (
        <>
          <RoomMark type={item.room.type} peer={item.room.peer} title={item.title} status={item.status} />
          <span className="row-words">
            <span className="row-title truncate">
              <bdi>{item.title}</bdi>
            </span>
          </span>
          {item.unread > 0 && <span className="badge">{item.unread}</span>}
        </>
      ),
    }));
    const known = new Set(rooms.map((item) => item.room.peer));
    const people = found.people.filter((person) => person.userId !== me?.userId && !known.has(person.userId));
    for (const person of text === "" ? [] : people.slice(0, PEOPLE_MAX)) {
      options.push({
        key: person.userId,
        view: <PersonWords person={person} />,
        run: async () => {
          const result = await dispatch(openDirect(person.userId));
          if (!result.ok) return result.problem;
          onClose();
          void navigate(roomPath(result.value));
          return null;
        },
      });
    }
    const actions: readonly {
      readonly name: string;
      readonly icon: IconName;
      readonly to: `/${string}` | DialogName;
    }[] = [
      { name: t("rooms.find"), icon: "compass", to: FIND },
      { name: t("rooms.create"), icon: "plus", to: "createRoom" },
      { name: t("rooms.message"), icon: "userPlus", to: "direct" },
      { name: t("settings.title"), icon: "settings", to: SETTINGS },
      { name: t("shortcuts.title"), icon: "keyboard", to: "shortcuts" },
    ];
    for (const action of text === "" ? actions.slice(0, 2) : fuzzy(actions, text, (entry) => entry.name)) {
      const { to } = action;
      options.push({
        key: action.name,
        run: isPath(to)
          ? go(to)
          : () => {
              dialogs.open(to);
              return Promise.resolve(null);
            },
        view: (
          <>
            <span className="room-mark">
              <Icon name={action.icon} />
            </span>
            <span className="row-words">
              <span className="row-title">{action.name}</span>
            </span>
          </>
        ),
      });
    }
    return options;
  }, [query, rooms, found.people, me, navigate, dispatch, dialogs, onClose, t]);
}
