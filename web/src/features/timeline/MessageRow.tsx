// One message: author and time when it begins a group, its text, its state on the way, and what can be done with it.
//
// It is an article that takes the focus (the list moves it with the arrow keys). Rows keep their identity in the model, so `memo`
// spares all rows that did not change.

import { memo, type ReactNode } from "react";
import { Menu, MenuItem, MenuTrigger } from "react-aria-components";
import { useTranslation } from "react-i18next";
import { isolate } from "@/i18n";
import { fullTime, timeOfDay } from "@/i18n/time";
import type { Message, Person } from "@/model";
import { Avatar } from "@/ui/Avatar";
import { Button, IconButton } from "@/ui/Button";
import { Icon } from "@/ui/Icon";
import { Popover } from "@/ui/Popover";
import { Markup } from "../markup/Markup";
import { useProblemText } from "../shared/useProblemText";

/** What a person may do with a message. */
export interface MessageCommands {
  readonly copy: (message: Message) => void;
  readonly remove: (message: Message) => void;
  readonly retry: (message: Message) => void;
  readonly discard: (message: Message) => void;
}

interface Props {
  readonly message: Message;
  readonly head: boolean;
  readonly author: Person;
  readonly mayDelete: boolean;
  readonly focusable: boolean;
  readonly commands: MessageCommands;
}

/** One message. */
export const MessageRow = memo(function MessageRow(props: Props): ReactNode {
  const { message, head, author, focusable } = props;
  const { t, i18n } = useTranslation();
  const time = timeOfDay(message.at, i18n.language);
  const iso = new Date(message.at).toISOString();
  return (
    <article
      className="message"
      data-row
      data-head={head || undefined}
      data-state={message.state}
      data-key={message.key}
      tabIndex={focusable ? 0 : -1}
      aria-label={t("timeline.said", { name: isolate(author.displayName), time })}
    >
      {head ? (
        <Avatar id={author.userId} name={author.displayName} />
      ) : (
        <span className="message-gutter" aria-hidden="true">
          <time dateTime={iso}>{time}</time>
        </span>
      )}
      <div className="message-body">
        {head && (
          <header className="message-head">
            <bdi className="message-author clipped">{author.displayName}</bdi>
            <time className="message-time" dateTime={iso} title={fullTime(message.at, i18n.language)}>
              {time}
            </time>
          </header>
        )}
        <Words message={message} author={author} />
        <Way {...props} />
      </div>
      <Actions {...props} />
    </article>
  );
});

function Words({ message, author }: { readonly message: Message; readonly author: Person }): ReactNode {
  const { t } = useTranslation();
  if (message.content === null) {
    const byOther = message.deletedBy !== undefined && message.deletedBy !== author.userId;
    return <p className="message-gone">{byOther ? t("timeline.deletedByModerator") : t("timeline.deleted")}</p>;
  }
  if (message.content.kind === "unreadable") {
    return <p className="message-gone">{t(`timeline.unreadable.${message.content.reason}`)}</p>;
  }
  return <Markup text={message.content.text} />;
}

/** How far an own message is. Sent ones say nothing: that is how it should be. */
function Way({ message, commands }: Props): ReactNode {
  const { t } = useTranslation();
  const why = useProblemText(message.problem);
  if (message.state === "sent") return null;
  if (message.state === "failed") {
    return (
      <div className="message-failed">
        <p>
          <Icon name="alert" size="small" />
          <span>
            {t("send.failedLong")} {why}
          </span>
        </p>
        <span>
          <Button kind="quiet" onPress={() => commands.retry(message)}>
            {t("send.retry")}
          </Button>
          <Button kind="quiet" onPress={() => commands.discard(message)}>
            {t("send.discard")}
          </Button>
        </span>
      </div>
    );
  }
  return (
    <span className="message-state">
      <Icon name="clock" size="small" />
      {t(`send.${message.state}`)}
      {why !== undefined && <span> · {why}</span>}
    </span>
  );
}

function Actions({ message, mayDelete, commands }: Props): ReactNode {
  const { t } = useTranslation();
  const readable = message.content?.kind === "text";
  const removable = mayDelete && message.state === "sent" && message.content !== null;
  const throwable = message.state === "waiting";
  if (!readable && !removable && !throwable) return null;
  return (
    <div className="message-actions">
      <MenuTrigger>
        <IconButton icon="more" label={t("timeline.actions")} />
        <Popover>
          <Menu className="menu" aria-label={t("timeline.actions")}>
            {readable && (
              <MenuItem className="menu-item" onAction={() => commands.copy(message)}>
                <Icon name="copy" />
                {t("timeline.copy")}
              </MenuItem>
            )}
            {removable && (
              <MenuItem className="menu-item" data-kind="danger" onAction={() => commands.remove(message)}>
                <Icon name="trash" />
                {t("timeline.delete")}
              </MenuItem>
            )}
            {throwable && (
              <MenuItem className="menu-item" data-kind="danger" onAction={() => commands.discard(message)}>
                <Icon name="trash" />
                {t("send.discard")}
              </MenuItem>
            )}
          </Menu>
        </Popover>
      </MenuTrigger>
    </div>
  );
}
