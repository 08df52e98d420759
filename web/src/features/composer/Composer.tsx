// Where messages are written. What is written is kept as a draft; sending empties the field at once and puts the text back when it
// could not even be taken.

import {
  type KeyboardEvent,
  lazy,
  type ReactNode,
  type RefObject,
  Suspense,
  useCallback,
  useId,
  useLayoutEffect,
  useState,
} from "react";
import { Dialog, DialogTrigger } from "react-aria-components";
import { useTranslation } from "react-i18next";
import { isolate } from "@/i18n";
import {
  type Problem,
  type RoomId,
  selectConnection,
  selectDraft,
  selectLimits,
  selectOutboxLevel,
  selectSettings,
  selectStorage,
  send,
  setDraft,
  typing,
} from "@/model";
import { IconButton } from "@/ui/Button";
import { Notice, Skeletons } from "@/ui/Feedback";
import { Popover } from "@/ui/Popover";
import { useModel, useModelDispatch } from "../shared/hooks";
import { modifierKey } from "../shared/keys";
import { useProblemText } from "../shared/useProblemText";
import { Suggestions, useCompletion } from "./Suggestions";
import { COUNTER_FROM, check, tidied } from "./text";

const EmojiPicker = lazy(() => import("../emoji/EmojiPicker"));

/** So many letters of the room's name stand in the empty field. */
const PLACEHOLDER_MAX = 16;

interface Props {
  readonly roomId: RoomId;
  readonly title: string;
  readonly field: RefObject<HTMLTextAreaElement | null>;
  /** Up in an empty field: to the newest message. */
  readonly onUp: () => void;
}

/** The field of one room. Key it by the room. */
export function Composer({ roomId, title, field, onUp }: Props): ReactNode {
  const { t } = useTranslation();
  const id = useId();
  const dispatch = useModelDispatch();
  const draft = useModel((state) => selectDraft(state, roomId));
  const { contentChars } = useModel(selectLimits);
  const { enterSends } = useModel(selectSettings);
  const outbox = useModel(selectOutboxLevel);
  const [text, setText] = useState(draft);
  const [caret, setCaret] = useState(draft.length);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  const state = check(text, contentChars);
  const ready = state.kind === "fine" && !outbox.full;

  const write = useCallback(
    (next: string): void => {
      setText(next);
      setProblem(null);
      dispatch(setDraft(roomId, next));
      dispatch(typing(roomId, next.trim() !== ""));
    },
    [dispatch, roomId],
  );

  /** Puts `emoji` in place of a part of the text, and the caret behind it. */
  const replace = useCallback(
    (from: number, to: number, emoji: string): void => {
      const next = text.slice(0, from) + emoji + text.slice(to);
      const place = from + emoji.length;
      write(next);
      setCaret(place);
      requestAnimationFrame(() => {
        field.current?.focus();
        field.current?.setSelectionRange(place, place);
      });
    },
    [field, text, write],
  );
  const completion = useCompletion(text, caret, replace);
  useGrow(field, text);

  const submit = async (): Promise<void> => {
    if (!ready) return;
    const before = text;
    setText("");
    setCaret(0);
    setProblem(null);
    field.current?.focus();
    const result = await dispatch(send(roomId, tidied(before)));
    if (!result.ok) {
      // Whatever was written meanwhile stays behind it.
      setText((since) => (since === "" ? before : `${before}\n${since}`));
      setProblem(result.problem);
    }
  };

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>): void => {
    if (event.nativeEvent.isComposing || completion.onKey(event)) return;
    if (event.key === "ArrowUp" && text === "" && !event.altKey) {
      event.preventDefault();
      onUp();
    }
    if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
    const withModifier = event.ctrlKey || event.metaKey;
    if (withModifier || enterSends) {
      event.preventDefault();
      void submit();
    }
  };

  const listId = `${id}-list`;
  const open = completion.shown.length > 0;
  return (
    <div className="composer">
      <OutboxNotice />
      {why !== undefined && <Notice kind="danger">{why}</Notice>}
      <div className="composer-box">
        <Suggestions id={listId} completion={completion} />
        <textarea
          ref={field}
          className="composer-input"
          rows={1}
          dir="auto"
          value={text}
          aria-label={t("composer.label", { room: isolate(title) })}
          placeholder={t("composer.placeholder", { room: isolate(short(title)) })}
          aria-describedby={`${id}-foot`}
          aria-autocomplete="list"
          aria-controls={open ? listId : undefined}
          aria-activedescendant={open ? `${listId}-${completion.chosen}` : undefined}
          aria-invalid={state.kind === "over" || state.kind === "controls" || undefined}
          enterKeyHint={enterSends ? "send" : "enter"}
          onChange={(event) => {
            write(event.target.value);
            setCaret(event.target.selectionStart);
          }}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
          onKeyDown={onKeyDown}
          onBlur={() => dispatch(typing(roomId, false))}
        />
        <EmojiButton onPick={(emoji) => replace(caret, caret, emoji)} />
        <IconButton
          className="composer-send"
          icon="send"
          label={t("composer.send")}
          isDisabled={!ready}
          onPress={() => void submit()}
        />
      </div>
      <div className="composer-foot" id={`${id}-foot`}>
        <span className="composer-hint">
          {enterSends ? t("composer.hint") : t("composer.hintCtrl", { key: modifierKey() })}
        </span>
        {state.kind === "controls" && <span data-kind="danger">{t("composer.controls")}</span>}
        {state.kind === "over" && <span data-kind="danger">{t("composer.over", { count: state.count })}</span>}
        {state.kind === "fine" && state.left <= COUNTER_FROM && (
          <span>{t("composer.left", { count: state.left })}</span>
        )}
      </div>
    </div>
  );
}

/** A name that fits into one line of the field: a long one would make the empty field grow. */
function short(title: string): string {
  const letters = [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(title)];
  if (letters.length <= PLACEHOLDER_MAX) return title;
  return `${letters
    .slice(0, PLACEHOLDER_MAX)
    .map((part) => part.segment)
    .join("")
    .trimEnd()}…`;
}

function EmojiButton({ onPick }: { readonly onPick: (emoji: string) => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <DialogTrigger>
      <IconButton icon="smile" label={t("composer.emoji")} />
      <Popover placement="top end">
        <Dialog className="emoji-dialog" aria-label={t("emoji.title")}>
          {({ close }) => (
            <Suspense fallback={<Skeletons rows={5} label={t("emoji.loading")} />}>
              <EmojiPicker
                onPick={(emoji) => {
                  close();
                  onPick(emoji);
                }}
              />
            </Suspense>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

/** Says that much waits before nothing more fits, and that nothing is kept where that is so. */
function OutboxNotice(): ReactNode {
  const { t } = useTranslation();
  const outbox = useModel(selectOutboxLevel);
  const connection = useModel(selectConnection);
  const storage = useModel(selectStorage);
  if (outbox.full) return <Notice kind="warn">{t("composer.outboxFull", { limit: outbox.limit })}</Notice>;
  if (outbox.near) {
    return <Notice kind="warn">{t("composer.outboxNear", { waiting: outbox.waiting, limit: outbox.limit })}</Notice>;
  }
  if (storage === "memory" && connection.banner) return <Notice kind="warn">{t("composer.noStorage")}</Notice>;
  return null;
}

/** Lets the field grow with its text where the browser does not do it by itself. */
function useGrow(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  useLayoutEffect(() => {
    const element = field.current;
    if (element === null || CSS.supports("field-sizing", "content")) return;
    element.style.setProperty("block-size", "auto");
    element.style.setProperty("block-size", text === "" ? "auto" : `${element.scrollHeight}px`);
  }, [field, text]);
}
