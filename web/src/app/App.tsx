// All pages and what surrounds them.

import { lazy, type ReactNode, Suspense, useCallback, useEffect } from "react";
import { I18nProvider } from "react-aria-components";
import { useTranslation } from "react-i18next";
import { Provider } from "react-redux";
import { BrowserRouter, Navigate, Route, Routes, useLocation } from "react-router";
import { AuthPage } from "@/features/auth/AuthPage";
import { RoomPage } from "@/features/room/RoomPage";
import { Directory } from "@/features/rooms/Directory";
import { DialogsProvider } from "@/features/shared/dialogs";
import { useModel } from "@/features/shared/hooks";
import { type Listen, NewsContext } from "@/features/shared/news";
import { FIND, HOME, SETTINGS, SIGN_IN, SIGN_UP } from "@/features/shared/paths";
import { Toasts, useToast } from "@/features/shared/toasts";
import { Shell } from "@/features/shell/Shell";
import { Welcome } from "@/features/shell/Welcome";
import { type Model, selectSession } from "@/model";
import { Skeletons } from "@/ui/Feedback";
import { Logo } from "@/ui/Icon";
import { ErrorBoundary } from "./ErrorBoundary";
import { NotFound } from "./NotFound";
import { onUpdate } from "./serviceWorker";

const SettingsPage = lazy(() => import("@/features/settings/SettingsPage"));

/** The app. */
export function App({ model }: { readonly model: Model }): ReactNode {
  const { i18n } = useTranslation();
  const listen = useCallback<Listen>((listener) => model.onNews(listener), [model]);
  return (
    <ErrorBoundary>
      <Provider store={model.store}>
        <I18nProvider locale={i18n.language}>
          <NewsContext value={listen}>
            <BrowserRouter>
              <Toasts>
                <DialogsProvider>
                  <UpdateOffer />
                  <Pages />
                </DialogsProvider>
              </Toasts>
            </BrowserRouter>
          </NewsContext>
        </I18nProvider>
      </Provider>
    </ErrorBoundary>
  );
}

/** The router's patterns end at a line break: an address with one in it would match nothing and show an empty page. */
const LINE_BREAK = /%0[ad]|%e2%80%a[89]/iu;

function Pages(): ReactNode {
  const { phase } = useModel(selectSession);
  if (LINE_BREAK.test(useLocation().pathname)) return <Navigate to={HOME} replace />;
  if (phase === "starting") return <Splash />;
  if (phase === "signedOut") return <Outside />;
  return <Inside />;
}

/** Reading what is kept takes a moment. */
function Splash(): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="splash" role="status" aria-label={t("common.loading")}>
      <Logo />
    </div>
  );
}

/** Nobody is signed in. Where one wanted to go is kept, and comes back after signing in. */
function Outside(): ReactNode {
  const { pathname, search } = useLocation();
  const wanted = pathname === HOME || pathname.startsWith("/sign") ? null : pathname + search;
  return (
    <Routes>
      <Route path={SIGN_IN} element={<AuthPage kind="signIn" />} />
      <Route path={SIGN_UP} element={<AuthPage kind="signUp" />} />
      <Route path="*" element={<Navigate to={SIGN_IN} replace state={{ wanted }} />} />
    </Routes>
  );
}

function Inside(): ReactNode {
  const { t } = useTranslation();
  return (
    <Routes>
      <Route element={<Shell />}>
        <Route index element={<Welcome />} />
        <Route path={FIND} element={<Directory />} />
        <Route path="/r/:roomId" element={<RoomPage details={false} />} />
        <Route path="/r/:roomId/details" element={<RoomPage details />} />
        <Route
          path={SETTINGS}
          element={
            <Suspense fallback={<Skeletons rows={5} label={t("common.loading")} />}>
              <SettingsPage />
            </Suspense>
          }
        />
        <Route path={SIGN_IN} element={<Back />} />
        <Route path={SIGN_UP} element={<Back />} />
        <Route path="*" element={<NotFound />} />
      </Route>
    </Routes>
  );
}

/** After signing in: to where one wanted to go. */
function Back(): ReactNode {
  const state: unknown = useLocation().state;
  const wanted = typeof state === "object" && state !== null && "wanted" in state ? state.wanted : null;
  return <Navigate to={typeof wanted === "string" ? wanted : HOME} replace />;
}

function UpdateOffer(): null {
  const { t } = useTranslation();
  const toast = useToast();
  useEffect(() => onUpdate((apply) => toast(t("update.text"), { label: t("update.action"), run: apply })), [t, toast]);
  return null;
}
