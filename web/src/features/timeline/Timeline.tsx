// The messages of a room. Ten thousand rows are as light as fifty: only those near the screen are in the page. Nothing here is a
// live region; what is new is announced by the announcer.

import { type KeyboardEvent, type ReactNode, useCallback, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { VList, type VListHandle } from "virtua";
import { isolate } from "@/i18n";
import {
  discardSend,
  loadOlder,
  loadToUnread,
  type Message,
  type Room,
  type Row,
  readUpTo,
  retrySend,
  selectTimeline,
} from "@/model";
import { Button } from "@/ui/Button";
import { Empty, Notice, Skeletons } from "@/ui/Feedback";
import { useModel, useModelDispatch } from "../shared/hooks";
import { useToast } from "../shared/toasts";
import { useNow } from "../shared/useNow";
import { useProblemText } from "../shared/useProblemText";
import { DeleteMessage } from "./DeleteMessage";
import type { MessageCommands } from "./MessageRow";
import { type List, showRow } from "./place";
import { countBelow, isStop, lastStop, nextStop, placeOf, seqAt } from "./rows";
import { TimelineRow } from "./TimelineRow";
import { useHeard } from "./useHeard";
import { useScroll } from "./useScroll";

/** Keys that scroll up, or lead the focus up. */
const UP_KEYS: ReadonlySet<string> = new Set(["ArrowUp", "PageUp", "Home"]);

/** The list inside its frame, when it is there. */
function listIn(frame: HTMLElement | null, sizes: VListHandle | null): List | null {
  const box = frame?.firstElementChild;
  return box instanceof HTMLElement && sizes !== null ? { box, sizes } : null;
}

/** The messages of one room. Key it by the room. */
export function Timeline({
  room,
  title,
  onLeave,
}: {
  readonly room: Room;
  readonly title: string;
  readonly onLeave: () => void;
}): ReactNode {
  const { roomId } = room;
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const frame = useRef<HTMLDivElement>(null);
  const sizes = useRef<VListHandle>(null);
  const getList = useCallback(() => listIn(frame.current, sizes.current), []);
  const view = useHeard(
    useModel((state) => selectTimeline(state, roomId)),
    getList,
  );
  const { rows } = view;
  const now = useNow(60_000);
  const [removing, setRemoving] = useState<Message | null>(null);
  const commands = useCommands(setRemoving);
  const why = useProblemText(view.problem);

  const onSeen = useCallback(
    (place: number) => {
      const seq = seqAt(rows, place);
      if (seq !== undefined) dispatch(readUpTo(roomId, seq));
    },
    [dispatch, roomId, rows],
  );
  const onNearStart = useCallback(() => {
    if (!view.loading && !view.complete && view.problem === null) void dispatch(loadOlder(roomId));
  }, [dispatch, roomId, view.loading, view.complete, view.problem]);
  const scroll = useScroll(getList, view, { onSeen, onNearStart });
  const roving = useRoving(rows, getList, onLeave);
  const { onFocus, onKeyDown } = roving;

  const toUnread = async (): Promise<void> => {
    const found = await dispatch(loadToUnread(roomId));
    if (found.ok && found.value !== null) {
      const key = found.value;
      // The rows that were just loaded are in the list after the next frame.
      requestAnimationFrame(() => scroll.toKey(key));
    }
  };

  const below = scroll.atEnd ? 0 : countBelow(rows, scroll.leftAt);
  const first = rows.find((row) => row.kind === "unread");
  // What is read meanwhile does not count down: the number says how far back the first one is.
  const [most, setMost] = useState(view.unread);
  if (view.unread > most) setMost(view.unread);
  const unread = first?.count ?? most;
  const offerUnread = scroll.lineAbove || (view.unreadBeyond && view.unreadKey === null);

  return (
    <section className="timeline" aria-label={t("timeline.label", { room: isolate(title) })} data-testid="timeline">
      {offerUnread && (
        <div className="jump" data-place="top">
          <Button kind="primary" onPress={() => void toUnread()}>
            {t("timeline.jumpUnread", { count: unread })}
            <span className="visually-hidden">{t("timeline.jumpUnreadHint")}</span>
          </Button>
        </div>
      )}
      {view.loading && view.empty === "filled" && (
        <p className="visually-hidden" role="status">
          {t("timeline.older")}
        </p>
      )}
      {why !== undefined && (
        <div className="timeline-problem">
          <Notice
            kind="danger"
            action={<Button onPress={() => void dispatch(loadOlder(roomId))}>{t("common.retry")}</Button>}
          >
            {why}
          </Notice>
        </div>
      )}
      {view.empty === "unknown" && view.problem === null && (
        <Skeletons rows={7} kind="message" label={t("timeline.loading")} />
      )}
      {view.empty === "empty" && (
        <div className="timeline-center">
          <Empty icon="message" title={t("timeline.empty")}>
            {t("timeline.emptyText")}
          </Empty>
        </div>
      )}
      {view.empty === "filled" && (
        // biome-ignore lint/a11y/noNoninteractiveElementInteractions: the arrow keys move the focus between the articles inside
        // biome-ignore lint/a11y/noStaticElementInteractions: the arrow keys move the focus between the articles inside
        <div
          className="timeline-list-frame"
          ref={frame}
          data-testid="timeline-list"
          onKeyDown={onKeyDown}
          onKeyDownCapture={(event) => (UP_KEYS.has(event.key) ? scroll.onLeave() : scroll.onAct())}
          onFocus={onFocus}
          onWheel={(event) => (event.deltaY < 0 ? scroll.onLeave() : scroll.onAct())}
          onTouchMove={scroll.onLeave}
          onPointerDown={scroll.onAct}
        >
          <VList
            ref={sizes}
            data={rows}
            shift={scroll.shift}
            bufferSize={600}
            keepMounted={roving.kept}
            onScroll={scroll.onScroll}
            onResize={scroll.onResize}
            className={scroll.settled ? "timeline-list" : "timeline-list unsettled"}
            tabIndex={-1}
          >
            {(row: Row, place: number) => (
              <TimelineRow
                key={row.key}
                row={row}
                room={room}
                title={title}
                focusable={place === roving.place}
                now={now}
                commands={commands}
              />
            )}
          </VList>
        </div>
      )}
      {!scroll.atEnd && view.empty === "filled" && (
        <div className="jump" data-place="bottom">
          <Button kind={below > 0 ? "primary" : "secondary"} icon="down" onPress={scroll.toEnd}>
            {below > 0 ? t("timeline.newBelow", { count: below }) : t("timeline.newest")}
          </Button>
        </div>
      )}
      {removing !== null && <DeleteMessage message={removing} onClose={() => setRemoving(null)} />}
    </section>
  );
}

/** What can be done with messages, as one object that stays the same. */
function useCommands(remove: (message: Message) => void): MessageCommands {
  const dispatch = useModelDispatch();
  const toast = useToast();
  const { t } = useTranslation();
  return useMemo(
    () => ({
      copy: (message) => {
        if (message.content?.kind !== "text") return;
        navigator.clipboard.writeText(message.content.text).then(
          () => toast(t("timeline.copied")),
          () => toast(t("timeline.copyFailed")),
        );
      },
      remove,
      retry: (message) => void dispatch(retrySend(message.key)),
      discard: (message) => void dispatch(discardSend(message.key)),
    }),
    [dispatch, remove, t, toast],
  );
}

interface Roving {
  readonly place: number;
  readonly kept: readonly number[];
  readonly onFocus: (event: { target: EventTarget }) => void;
  readonly onKeyDown: (event: KeyboardEvent<HTMLElement>) => void;
}

/** One row is in the tab order; arrows, Home and End move on from there. The row with the focus stays in the page. */
function useRoving(rows: readonly Row[], getList: () => List | null, onLeave: () => void): Roving {
  const [key, setKey] = useState<string | null>(null);
  const frame = useRef(0);
  const found = placeOf(rows, key);
  const place = found >= 0 ? found : lastStop(rows);
  const kept = useMemo(() => (place >= 0 ? [place] : []), [place]);

  const go = (to: number, root: HTMLElement): void => {
    const row = rows[to];
    if (row === undefined || !isStop(row)) return;
    setKey(row.key);
    const list = getList();
    if (list !== null) showRow(list, to);
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => {
      root.querySelector<HTMLElement>(`[data-key="${CSS.escape(row.key)}"]`)?.focus({ preventScroll: true });
    });
  };

  return {
    place,
    kept,
    onFocus: (event) => {
      const row = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-row]") : null;
      if (row?.dataset["key"] !== undefined) setKey(row.dataset["key"]);
    },
    onKeyDown: (event) => {
      const onRow = event.target instanceof HTMLElement && event.target.matches("[data-row]");
      if (!onRow || event.altKey || event.ctrlKey || event.metaKey) return;
      const steps: Readonly<Record<string, number>> = {
        ArrowUp: nextStop(rows, place, -1),
        ArrowDown: nextStop(rows, place, 1),
        Home: nextStop(rows, -1, 1),
        End: lastStop(rows),
      };
      const to = steps[event.key];
      if (event.key === "Escape" || (event.key === "ArrowDown" && to === -1)) {
        event.preventDefault();
        onLeave();
      } else if (to !== undefined) {
        event.preventDefault();
        go(to, event.currentTarget);
      }
    },
  };
}
