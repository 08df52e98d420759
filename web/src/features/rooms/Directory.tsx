// The public rooms: find one by name and join it.

import { type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { isolate } from "@/i18n";
import { joinRoom, type ListedRoom, loadDirectory, type Problem, selectDirectory } from "@/model";
import { Button } from "@/ui/Button";
import { Empty, Notice, Skeletons } from "@/ui/Feedback";
import { SearchField } from "@/ui/Field";
import { useDialogs } from "../shared/dialogs";
import { useModel, useModelDispatch } from "../shared/hooks";
import { PaneHead } from "../shared/PaneHead";
import { roomPath } from "../shared/paths";
import { usePageTitle } from "../shared/usePageTitle";
import { useProblemText } from "../shared/useProblemText";
import { fuzzy } from "../switcher/fuzzy";
import { RoomMark } from "./RoomMark";

/** The page. */
export function Directory(): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const dialogs = useDialogs();
  const directory = useModel(selectDirectory);
  const [filter, setFilter] = useState("");
  const [failed, setFailed] = useState<Problem | null>(null);
  const why = useProblemText(failed ?? directory.problem);
  usePageTitle(t("directory.title"));

  useEffect(() => {
    void dispatch(loadDirectory());
  }, [dispatch]);

  const open = directory.rooms.filter((room) => room.type === "public");
  const shown = filter.trim() === "" ? open : fuzzy(open, filter, (room) => room.name);
  const ready = directory.complete || open.length > 0;
  const create = (
    <Button kind="primary" icon="plus" onPress={() => dialogs.open("createRoom")}>
      {t("rooms.create")}
    </Button>
  );
  return (
    <>
      <PaneHead title={t("directory.title")} level={1} actions={create} />
      <div className="pane-body">
        <div className="directory">
          <p className="directory-lead">{t("directory.lead")}</p>
          {open.length > 0 && (
            <SearchField
              label={t("directory.filter")}
              value={filter}
              onChange={(event) => setFilter(event.target.value)}
            />
          )}
          {why !== undefined && (
            <Notice
              kind="danger"
              action={<Button onPress={() => void dispatch(loadDirectory())}>{t("common.retry")}</Button>}
            >
              {why}
            </Notice>
          )}
          {!ready && directory.problem === null && <Skeletons rows={5} label={t("common.loading")} />}
          {ready && open.length === 0 && (
            <Empty icon="compass" title={t("directory.none")} actions={create}>
              {t("directory.noneText")}
            </Empty>
          )}
          {open.length > 0 && shown.length === 0 && (
            <Empty icon="search" title={t("directory.noMatch", { text: isolate(filter) })} actions={create}>
              {t("directory.noMatchText")}
            </Empty>
          )}
          <ul className="rows">
            {shown.map((room) => (
              <Listed key={room.roomId} room={room} onProblem={setFailed} />
            ))}
          </ul>
          {!directory.complete && open.length > 0 && (
            <Button isDisabled={directory.loading} onPress={() => void dispatch(loadDirectory(true))}>
              {t("rooms.loadMore")}
            </Button>
          )}
        </div>
      </div>
    </>
  );
}

function Listed({
  room,
  onProblem,
}: {
  readonly room: ListedRoom;
  readonly onProblem: (problem: Problem | null) => void;
}): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const navigate = useNavigate();
  const [busy, setBusy] = useState(false);

  const join = async (): Promise<void> => {
    setBusy(true);
    onProblem(null);
    const result = await dispatch(joinRoom(room.roomId));
    setBusy(false);
    if (result.ok) void navigate(roomPath(room.roomId));
    else onProblem(result.problem);
  };

  return (
    <li className="row">
      <RoomMark type={room.type} title={room.name} />
      <span className="row-words">
        <span className="row-title">
          <bdi>{room.name}</bdi>
        </span>
        {room.description !== "" && (
          <span className="row-desc" dir="auto">
            {room.description}
          </span>
        )}
        <span className="row-sub">{t("directory.members", { count: room.members })}</span>
      </span>
      {room.joined ? (
        <Link
          className="button"
          data-kind="quiet"
          to={roomPath(room.roomId)}
          aria-label={`${t("directory.open")} ${room.name}`}
        >
          {t("directory.open")}
        </Link>
      ) : (
        <Button
          kind="secondary"
          isDisabled={busy}
          aria-label={`${t("directory.join")} ${room.name}`}
          onPress={() => void join()}
        >
          {busy ? t("directory.joining") : t("directory.join")}
        </Button>
      )}
    </li>
  );
}
