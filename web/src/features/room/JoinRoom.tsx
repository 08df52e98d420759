// A room that one is not in: what it is, and how to come in.

import { type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { joinRoom, type ListedRoom, lookAtRoom, type Problem, type RoomId } from "@/model";
import { Button } from "@/ui/Button";
import { Empty, Notice, Skeletons } from "@/ui/Feedback";
import { useModelDispatch } from "../shared/hooks";
import { PaneHead } from "../shared/PaneHead";
import { useProblemText } from "../shared/useProblemText";
import { RoomNotFound } from "./RoomPage";

/** Looks the room up and offers to join it. */
export function JoinRoom({ roomId }: { readonly roomId: RoomId }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const [room, setRoom] = useState<ListedRoom | null>(null);
  const [missing, setMissing] = useState<Problem | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const why = useProblemText(problem);

  useEffect(() => {
    let here = true;
    void dispatch(lookAtRoom(roomId)).then((result) => {
      if (!here) return;
      if (result.ok) setRoom(result.value);
      else setMissing(result.problem);
    });
    return () => {
      here = false;
    };
  }, [dispatch, roomId]);

  const join = async (): Promise<void> => {
    setBusy(true);
    const result = await dispatch(joinRoom(roomId));
    setBusy(false);
    if (!result.ok) setProblem(result.problem);
  };

  if (missing !== null) return <RoomNotFound problem={missing} />;
  if (room === null) return <Skeletons rows={6} kind="message" label={t("common.loading")} />;
  return (
    <>
      <PaneHead title={room.name} level={1} sub={t("room.members", { count: room.members })} />
      <div className="timeline-center">
        <Empty icon="message" title={room.description === "" ? t("room.joinToRead") : room.description}>
          {t("room.openNote")}
        </Empty>
      </div>
      {why !== undefined && <Notice kind="danger">{why}</Notice>}
      <div className="join-bar">
        <p>{t("room.joinText")}</p>
        <Button kind="primary" isDisabled={busy} onPress={() => void join()}>
          {busy ? t("directory.joining") : t("room.join")}
        </Button>
      </div>
    </>
  );
}
