// Catches what breaks while the page is drawn, and says so in words instead of a blank page. What is sent and what waits is not
// touched: it is on the server and in the browser's storage.

import i18next from "i18next";
import { Component, type ErrorInfo, type ReactNode } from "react";
import { Button } from "@/ui/Button";

interface State {
  readonly error: Error | null;
}

/** The last net. */
export class ErrorBoundary extends Component<{ readonly children: ReactNode }, State> {
  override state: State = { error: null };

  static getDerivedStateFromError(error: unknown): State {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override componentDidCatch(error: Error, info: ErrorInfo): void {
    // eslint-disable-next-line no-console
    console.error(error, info.componentStack);
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <main className="page">
        <div className="empty crash" role="alert">
          <h1>{i18next.t("crash.title")}</h1>
          <p>{i18next.t("crash.text")}</p>
          <Button kind="primary" onPress={() => location.reload()}>
            {i18next.t("common.reload")}
          </Button>
          <details>
            <summary>{i18next.t("crash.details")}</summary>
            <pre>{error.message}</pre>
          </details>
        </div>
      </main>
    );
  }
}
