// Who is writing now. The line keeps its height, so that nothing moves when somebody starts.

import type { ReactNode } from "react";
import { Trans, useTranslation } from "react-i18next";
import { type RoomId, selectTyping } from "@/model";
import { useModel, usePerson } from "../shared/hooks";

/** The line above the field. */
export function Typing({ roomId }: { readonly roomId: RoomId }): ReactNode {
  const users = useModel((state) => selectTyping(state, roomId));
  return (
    <div className="typing truncate" data-testid="typing">
      {users.length > 0 && <Names users={users} />}
    </div>
  );
}

function Names({ users }: { readonly users: readonly string[] }): ReactNode {
  const { t } = useTranslation();
  const first = usePerson(users[0] ?? "");
  const second = usePerson(users[1] ?? "");
  if (users.length > 2) return t("room.typing.many");
  return (
    <Trans
      t={t}
      i18nKey={users.length === 1 ? "room.typing.one" : "room.typing.two"}
      components={[<bdi key="first">{first.displayName}</bdi>, <bdi key="second">{second.displayName}</bdi>]}
    />
  );
}
