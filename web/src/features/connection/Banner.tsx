// Says that there is no connection, once it has lasted for two seconds: why, and when it is tried again. The part that counts down is
// not read out; the sentence is.

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { type ConnectionState, reconnect, selectConnection } from "@/model";
import { Button } from "@/ui/Button";
import { useModel, useModelDispatch } from "../shared/hooks";
import { useNow } from "../shared/useNow";

/** The line above everything. Always there as a live region, empty while all is well. */
export function Banner(): ReactNode {
  const connection = useModel(selectConnection);
  return (
    <div className="shell-banner" role="status" data-testid="connection">
      {connection.banner && <Words connection={connection} />}
    </div>
  );
}

function Words({ connection }: { readonly connection: ConnectionState }): ReactNode {
  const { t } = useTranslation();
  const dispatch = useModelDispatch();
  const { phase, reason, retryAt } = connection;
  const stopped = phase === "stopped";
  const reload = stopped && (reason === "protocol" || reason === "too_much");
  const text = phase === "offline" ? t("connection.offline") : t(`connection.${reason ?? "lost"}`);
  return (
    <div className="banner" data-kind={stopped ? "danger" : "warn"}>
      <p>
        {text} {phase === "waiting" && retryAt !== null && <Countdown until={retryAt} />}
        {phase === "connecting" && t("connection.connecting")}
      </p>
      {phase === "waiting" && (
        <Button kind="quiet" onPress={() => dispatch(reconnect())}>
          {t("connection.now")}
        </Button>
      )}
      {reload && (
        <Button kind="quiet" onPress={() => window.location.reload()}>
          {t("common.reload")}
        </Button>
      )}
    </div>
  );
}

function Countdown({ until }: { readonly until: number }): ReactNode {
  const { t } = useTranslation();
  const now = useNow(1000);
  const seconds = Math.max(0, Math.ceil((until - now) / 1000));
  return <span aria-hidden="true">{seconds > 0 ? t("connection.next", { seconds }) : ""}</span>;
}
