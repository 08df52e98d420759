// The frame around everything that one sees when signed in: the list, what is open, the details. On phones one of them at a time.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Outlet, useLocation, useNavigate } from "react-router";
import { selectMe } from "@/model";
import { Avatar } from "@/ui/Avatar";
import { IconButton } from "@/ui/Button";
import { Icon, Logo } from "@/ui/Icon";
import { SignOut } from "../auth/SignOut";
import { Banner } from "../connection/Banner";
import { Announcer } from "../notifications/Announcer";
import { NewDirect } from "../people/NewDirect";
import { Details } from "../room/Details";
import { CreateRoom } from "../rooms/CreateRoom";
import { RoomList } from "../rooms/RoomList";
import { useDialogs } from "../shared/dialogs";
import { useModel } from "../shared/hooks";
import { modifierKey } from "../shared/keys";
import { FIND, HOME, roomOfPath, SETTINGS } from "../shared/paths";
import { ONE_PANE, TWO_PANES, useMedia } from "../shared/useMedia";
import { Switcher } from "../switcher/Switcher";
import { Shortcuts } from "./Shortcuts";
import { useShortcuts } from "./useShortcuts";

/** The frame; what is open stands in the outlet. */
export function Shell(): ReactNode {
  const { t } = useTranslation();
  const { pathname } = useLocation();
  useShortcuts();
  const details = /^\/r\/[^/]+\/details$/u.test(pathname);
  const pane = pathname === HOME ? "list" : details ? "details" : "room";
  const one = useMedia(ONE_PANE);
  const two = useMedia(TWO_PANES);
  // What is the page itself: the room, or what stands in its place where there is no space for both. The panes stay the same elements when the
  // window changes, so that they keep what is in them; only their roles change.
  const main = pane === "list" && one ? "list" : pane === "details" && two ? "details" : "room";
  return (
    <div className="shell" data-pane={pane}>
      <Banner />
      <ListPane main={main === "list"} />
      <main className="pane pane-room" id={main === "room" ? "main" : undefined} tabIndex={-1}>
        <Outlet />
      </main>
      {details && (
        <div
          className="pane pane-details"
          tabIndex={-1}
          {...(main === "details"
            ? { role: "main", id: "main" }
            : { role: "complementary", "aria-label": t("details.title") })}
        >
          <Details roomId={roomOfPath(pathname) ?? ""} main={main === "details"} />
        </div>
      )}
      <OpenDialog />
      <Announcer />
    </div>
  );
}

function ListPane({ main }: { readonly main: boolean }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const dialogs = useDialogs();
  const me = useModel(selectMe);
  return (
    <div className="pane pane-list" role={main ? "main" : undefined}>
      <nav className="pane-nav" aria-label={t("rooms.title")}>
        {!main && (
          <a className="skip-link" href="#main">
            {t("common.skip")}
          </a>
        )}
        {main && <h1 className="visually-hidden">{t("rooms.title")}</h1>}
        <div className="pane-head">
          <span className="brand">
            <Logo />
            {t("common.appName")}
          </span>
          <IconButton icon="compass" label={t("rooms.find")} onPress={() => void navigate(FIND)} />
        </div>
        <button type="button" className="room-search" onClick={() => dialogs.open("switcher")}>
          <Icon name="search" size="small" />
          <span>{t("rooms.search")}</span>
          <kbd dir="ltr">{modifierKey()} K</kbd>
        </button>
        <div className="pane-body">
          <RoomList onFind={() => void navigate(FIND)} />
        </div>
        <div className="list-foot">
          {me !== null && (
            <>
              <Avatar id={me.userId} name={me.displayName} />
              <span className="list-me">
                <span className="list-me-name truncate">
                  <bdi>{me.displayName}</bdi>
                </span>
                <span className="list-me-user truncate">
                  <bdi>@{me.username}</bdi>
                </span>
              </span>
            </>
          )}
          <IconButton icon="settings" label={t("settings.title")} onPress={() => void navigate(SETTINGS)} />
        </div>
      </nav>
    </div>
  );
}

function OpenDialog(): ReactNode {
  const { current, close } = useDialogs();
  switch (current) {
    case null:
      return null;
    case "createRoom":
      return <CreateRoom onClose={close} />;
    case "direct":
      return <NewDirect onClose={close} />;
    case "switcher":
      return <Switcher onClose={close} />;
    case "shortcuts":
      return <Shortcuts onClose={close} />;
    case "signOut":
      return <SignOut onClose={close} />;
  }
}
