// What a room is and who is in it. Beside the messages where there is space, otherwise on its own with back.

import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { isolate } from "@/i18n";
import { dateOnly } from "@/i18n/time";
import { deleteRoom, leaveRoom, type Problem, type Room, selectRoom, selectRoomTitle } from "@/model";
import { Button, IconButton } from "@/ui/Button";
import { Confirm } from "@/ui/Dialog";
import { RoomMark } from "../rooms/RoomMark";
import { useModel, useModelDispatch } from "../shared/hooks";
import { PaneHead } from "../shared/PaneHead";
import { HOME, roomPath } from "../shared/paths";
import { useProblemText } from "../shared/useProblemText";
import { EditRoom } from "./EditRoom";
import { Members } from "./Members";

/** The details of a room. `main`: they are the page itself, and not beside it. */
export function Details({ roomId, main }: { readonly roomId: string; readonly main: boolean }): ReactNode {
  const room = useModel((state) => selectRoom(state, roomId));
  if (!room?.joined) return null;
  return <Shown key={roomId} room={room} main={main} />;
}

type Asked = "edit" | "leave" | "destroy" | null;

function Shown({ room, main }: { readonly room: Room; readonly main: boolean }): ReactNode {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const { roomId, type, description } = room;
  const known = useModel((state) => selectRoomTitle(state, roomId));
  const title = known === "" ? t("common.somebody") : known;
  const [asked, setAsked] = useState<Asked>(null);
  const owner = room.role === "owner" && type !== "direct";
  const kind = type === "direct" ? "directRoom" : type;

  return (
    <>
      <PaneHead
        title={t("details.title")}
        level={main ? 1 : 2}
        back={roomPath(roomId)}
        backClass="third-hidden"
        actions={
          <IconButton
            icon="close"
            className="third-only"
            label={t("common.close")}
            onPress={() => void navigate(roomPath(roomId))}
          />
        }
      />
      <div className="pane-body">
        <div className="details">
          <div className="details-head">
            <RoomMark type={type} peer={room.peer} title={title} size="large" />
            <h2>
              <bdi>{title}</bdi>
            </h2>
            <span className="tag">{t(`rooms.${kind}`)}</span>
          </div>
          {type !== "direct" && (
            <section className="details-section">
              <h2>{t("room.about")}</h2>
              <p className="details-text" dir="auto">
                {description === "" ? t("room.noDescription") : description}
              </p>
              <p className="field-hint">{t("room.created", { date: dateOnly(room.createdAt, i18n.language) })}</p>
              {room.retentionDays !== null && (
                <p className="field-hint">{t("room.keptDays", { count: room.retentionDays })}</p>
              )}
              {owner && (
                <Button icon="pencil" onPress={() => setAsked("edit")}>
                  {t("details.edit")}
                </Button>
              )}
            </section>
          )}
          <Members room={room} />
          <div className="details-actions">
            <Button icon="exit" onPress={() => setAsked("leave")}>
              {type === "direct" ? t("details.leaveDirect") : t("details.leave")}
            </Button>
            {owner && (
              <Button kind="danger" icon="trash" onPress={() => setAsked("destroy")}>
                {t("details.destroy")}
              </Button>
            )}
          </div>
        </div>
      </div>
      {asked === "edit" && <EditRoom room={room} onClose={() => setAsked(null)} />}
      {asked === "leave" && <Leave room={room} title={title} onClose={() => setAsked(null)} />}
      {asked === "destroy" && <Destroy room={room} title={title} onClose={() => setAsked(null)} />}
    </>
  );
}

interface AskProps {
  readonly room: Room;
  readonly title: string;
  readonly onClose: () => void;
}

function Leave({ room, title, onClose }: AskProps): ReactNode {
  const { t } = useTranslation();
  const ask = useAsked((dispatch) => dispatch(leaveRoom(room.roomId)));
  return (
    <Confirm
      title={t("details.leaveTitle", { name: isolate(title) })}
      text={room.type === "private" ? t("details.leavePrivate") : t("details.leavePublic")}
      action={room.type === "direct" ? t("details.leaveDirect") : t("details.leave")}
      busy={ask.busy}
      error={ask.why}
      onConfirm={() => void ask.go()}
      onClose={onClose}
    />
  );
}

function Destroy({ room, title, onClose }: AskProps): ReactNode {
  const { t } = useTranslation();
  const ask = useAsked((dispatch) => dispatch(deleteRoom(room.roomId)));
  return (
    <Confirm
      title={t("details.destroyTitle", { name: isolate(title) })}
      text={t("details.destroyText")}
      action={t("details.destroy")}
      busy={ask.busy}
      error={ask.why}
      onConfirm={() => void ask.go()}
      onClose={onClose}
    />
  );
}

type Work = (dispatch: ReturnType<typeof useModelDispatch>) => Promise<{ ok: true } | { ok: false; problem: Problem }>;

/** Does something after which this room is gone, and goes back to the list; says why when it did not work. */
function useAsked(work: Work): {
  readonly busy: boolean;
  readonly why: string | undefined;
  readonly go: () => Promise<void>;
} {
  const dispatch = useModelDispatch();
  const navigate = useNavigate();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  const go = async (): Promise<void> => {
    setBusy(true);
    const result = await work(dispatch);
    setBusy(false);
    if (result.ok) void navigate(HOME);
    else setProblem(result.problem);
  };
  return { busy, why, go };
}
