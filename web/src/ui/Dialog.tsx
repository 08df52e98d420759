/* Dialogs: they hold the focus, close with Escape and give the focus back to where it was. */

import type { ReactNode } from "react";
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { useTranslation } from "react-i18next";

import { Button, IconButton } from "./Button";

/** A dialog with a title, open while it is rendered. */
export function Dialog({
  title,
  wide,
  role = "dialog",
  onClose,
  children,
}: {
  readonly title: string;
  readonly wide?: boolean;
  readonly role?: "dialog" | "alertdialog";
  readonly onClose: () => void;
  readonly children: ReactNode;
}): ReactNode {
  const { t } = useTranslation();
  return (
    <ModalOverlay
      className="scrim"
      isOpen
      isDismissable={role === "dialog"}
      onOpenChange={(open) => {
        if (!open) onClose();
      }}
    >
      <Modal className="modal" data-wide={wide === true ? true : undefined}>
        <AriaDialog className="dialog" role={role}>
          <div className="dialog-head">
            <Heading slot="title" level={2}>
              {title}
            </Heading>
            <IconButton icon="close" label={t("common.close")} onPress={onClose} />
          </div>
          {children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

/** Asks before something that cannot be taken back. */
export function Confirm({
  title,
  text,
  action,
  busy,
  error,
  onConfirm,
  onClose,
}: {
  readonly title: string;
  readonly text: string;
  readonly action: string;
  readonly busy?: boolean;
  readonly error?: string | undefined;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}): ReactNode {
  const { t } = useTranslation();
  return (
    <Dialog title={title} role="alertdialog" onClose={onClose}>
      <p>{text}</p>
      {error !== undefined && (
        <p className="notice" data-kind="danger" role="alert">
          {error}
        </p>
      )}
      <div className="dialog-actions">
        <Button onPress={onClose} autoFocus>
          {t("common.cancel")}
        </Button>
        <Button kind="danger" onPress={onConfirm} isDisabled={busy === true}>
          {action}
        </Button>
      </div>
    </Dialog>
  );
}
