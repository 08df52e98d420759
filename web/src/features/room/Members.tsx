// Who is in a room, with role and presence, and what one's own role allows to do with them.

import { type ReactNode, useEffect, useState } from "react";
import { Menu, MenuItem, MenuTrigger } from "react-aria-components";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { isolate } from "@/i18n";
import {
  addMember,
  loadMembers,
  type Member,
  openDirect,
  type Person,
  type Problem,
  type Role,
  type Room,
  removeMember,
  selectMe,
  selectMembers,
  setRole,
} from "@/model";
import { Avatar } from "@/ui/Avatar";
import { Button, IconButton } from "@/ui/Button";
import { Confirm, Dialog } from "@/ui/Dialog";
import { Notice, Skeletons } from "@/ui/Feedback";
import { Popover } from "@/ui/Popover";
import { PeoplePicker } from "../people/PeoplePicker";
import { useModel, useModelDispatch } from "../shared/hooks";
import { roomPath } from "../shared/paths";
import { useProblemText } from "../shared/useProblemText";

/** The list of members. */
export function Members({ room }: { readonly room: Room }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const { roomId } = room;
  const view = useModel((state) => selectMembers(state, roomId));
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<Member | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem ?? view.problem);
  const mayAdd = room.type !== "direct" && (room.role === "owner" || room.role === "moderator");

  useEffect(() => {
    void dispatch(loadMembers(roomId));
  }, [dispatch, roomId]);

  return (
    <section className="details-section" aria-labelledby="members-head">
      <div className="details-section-head">
        <h2 id="members-head">
          {t("details.members")} {view.total > 0 && <span className="tag">{view.total}</span>}
        </h2>
        {mayAdd && (
          <Button kind="quiet" icon="userPlus" onPress={() => setAdding(true)}>
            {t("details.add")}
          </Button>
        )}
      </div>
      {why !== undefined && <Notice kind="danger">{why}</Notice>}
      {view.members.length === 0 && view.loading && <Skeletons rows={4} label={t("common.loading")} />}
      <ul className="rows">
        {view.members.map((member) => (
          <MemberRow
            key={member.userId}
            member={member}
            room={room}
            onProblem={setProblem}
            onRemove={() => setRemoving(member)}
          />
        ))}
      </ul>
      {!view.complete && view.members.length > 0 && (
        <Button isDisabled={view.loading} onPress={() => void dispatch(loadMembers(roomId, true))}>
          {t("rooms.loadMore")}
        </Button>
      )}
      {adding && <AddMembers room={room} there={view.members} onClose={() => setAdding(false)} />}
      {removing !== null && <RemoveMember room={room} member={removing} onClose={() => setRemoving(null)} />}
    </section>
  );
}

function MemberRow({
  member,
  room,
  onProblem,
  onRemove,
}: {
  readonly member: Member;
  readonly room: Room;
  readonly onProblem: (problem: Problem | null) => void;
  readonly onRemove: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const me = useModel(selectMe);
  const dispatch = useModelDispatch();
  const navigate = useNavigate();
  const own = member.userId === me?.userId;
  const owner = room.role === "owner" && room.type !== "direct";
  const mayRemove = room.type !== "direct" && (owner || (room.role === "moderator" && member.role === "member"));
  const name = member.displayName === "" ? member.username : member.displayName;

  const write = async (): Promise<void> => {
    const result = await dispatch(openDirect(member.userId));
    if (result.ok) void navigate(roomPath(result.value));
    else onProblem(result.problem);
  };
  const give = async (role: Role): Promise<void> => {
    const result = await dispatch(setRole(room.roomId, member.userId, role));
    onProblem(result.ok ? null : result.problem);
  };
  const roles = (
    [
      ["owner", "details.makeOwner"],
      ["moderator", "details.makeModerator"],
      ["member", "details.makeMember"],
    ] as const
  ).filter(([role]) => role !== member.role);

  return (
    <li className="row" data-user={member.userId}>
      <Avatar id={member.userId} name={name} status={member.status} />
      <span className="row-words">
        <span className="row-title row-name">
          <bdi className="truncate">{name}</bdi>
          {own && <span className="row-note"> ({t("details.me")})</span>}
        </span>
        <span className="row-sub truncate">
          {t(`details.status.${member.status}`)} · <bdi>@{member.username}</bdi>
        </span>
      </span>
      {member.role !== "member" && (
        <span className="tag" data-kind="accent">
          {t(`details.roles.${member.role}`)}
        </span>
      )}
      {(!own || owner) && (
        <MenuTrigger>
          <IconButton icon="more" label={t("details.actions", { name: isolate(name) })} />
          <Popover>
            <Menu className="menu" aria-label={t("details.actions", { name: isolate(name) })}>
              {!own && room.type !== "direct" && (
                <MenuItem className="menu-item" onAction={() => void write()}>
                  {t("details.writeTo")}
                </MenuItem>
              )}
              {owner &&
                roles.map(([role, label]) => (
                  <MenuItem className="menu-item" key={role} id={role} onAction={() => void give(role)}>
                    {t(label)}
                  </MenuItem>
                ))}
              {!own && mayRemove && (
                <MenuItem className="menu-item" data-kind="danger" onAction={onRemove}>
                  {t("details.remove")}
                </MenuItem>
              )}
            </Menu>
          </Popover>
        </MenuTrigger>
      )}
    </li>
  );
}

function AddMembers({
  room,
  there,
  onClose,
}: {
  readonly room: Room;
  readonly there: readonly Member[];
  readonly onClose: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const [people, setPeople] = useState<readonly Person[]>([]);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);

  const add = async (): Promise<void> => {
    setBusy(true);
    setProblem(null);
    let left = people;
    for (const person of people) {
      const result = await dispatch(addMember(room.roomId, person.userId));
      if (!result.ok) {
        setProblem(result.problem);
        break;
      }
      left = left.filter((other) => other !== person);
    }
    setPeople(left);
    setBusy(false);
    if (left.length === 0) {
      onClose();
      void dispatch(loadMembers(room.roomId));
    }
  };

  return (
    <Dialog title={t("details.addTitle")} onClose={onClose}>
      {why !== undefined && <Notice kind="danger">{why}</Notice>}
      <PeoplePicker
        label={t("direct.search")}
        chosen={people}
        without={there.map((member) => member.userId)}
        onChange={setPeople}
      />
      <div className="dialog-actions">
        <Button onPress={onClose}>{t("common.cancel")}</Button>
        <Button kind="primary" isDisabled={busy || people.length === 0} onPress={() => void add()}>
          {t("details.addAction")}
        </Button>
      </div>
    </Dialog>
  );
}

function RemoveMember({
  room,
  member,
  onClose,
}: {
  readonly room: Room;
  readonly member: Member;
  readonly onClose: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const why = useProblemText(problem);
  const go = async (): Promise<void> => {
    setBusy(true);
    const result = await dispatch(removeMember(room.roomId, member.userId));
    setBusy(false);
    if (result.ok) onClose();
    else setProblem(result.problem);
  };
  return (
    <Confirm
      title={t("details.removeTitle", { name: isolate(member.displayName) })}
      text={t("details.removeText")}
      action={t("details.remove")}
      busy={busy}
      error={why}
      onConfirm={() => void go()}
      onClose={onClose}
    />
  );
}
