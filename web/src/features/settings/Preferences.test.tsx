// @vitest-environment jsdom
// The switch for notifications, while the browser asks and after its answer.

import { act, cleanup, configure, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { Provider } from "react-redux";
import { afterEach, beforeAll, expect, it, vi } from "vitest";
import { startI18n } from "@/i18n";
import { selectSettings } from "@/model";
import { createFixtureModel, fixtureState } from "@/model/fixtures";
import { Preferences } from "./Preferences";

// A watchdog, no limit: machines are slow at times.
vi.setConfig({ testTimeout: 60_000 });
configure({ asyncUtilTimeout: 60_000 });

beforeAll(() => {
  startI18n();
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** The settings, in a browser that answers when it is told to. */
function open() {
  let answer: (permission: NotificationPermission) => void = () => undefined;
  vi.stubGlobal("Notification", {
    requestPermission: () =>
      new Promise<NotificationPermission>((resolve) => {
        answer = resolve;
      }),
  });
  const { store } = createFixtureModel(fixtureState({ rooms: 1, messages: 1 }));
  render(
    <Provider store={store}>
      <Preferences />
    </Provider>,
  );
  const box = screen.getByRole<HTMLInputElement>("switch", { name: /^Tell me of new messages/ });
  return {
    user: userEvent.setup(),
    box,
    kept: (): boolean => selectSettings(store.getState()).notifications,
    says: (permission: NotificationPermission) =>
      act(() => {
        answer(permission);
        return Promise.resolve();
      }),
    refused: (): boolean => document.querySelector(".notice") !== null,
  };
}

it("moves at once, and nothing is kept before the browser has agreed", async () => {
  const { user, box, kept, says, refused } = open();
  await user.click(box);
  expect([box.checked, kept()]).toEqual([true, false]);
  await says("granted");
  expect([box.checked, kept(), refused()]).toEqual([true, true, false]);
});

it("goes back when the browser refuses, and says so", async () => {
  const { user, box, kept, says, refused } = open();
  await user.click(box);
  await says("denied");
  expect([box.checked, kept(), refused()]).toEqual([false, false, true]);
});

it("stays off when it was turned off while the question stood", async () => {
  const { user, box, kept, says, refused } = open();
  await user.click(box);
  await user.click(box);
  expect(box.checked).toBe(false);
  await says("granted");
  expect([box.checked, kept(), refused()]).toEqual([false, false, false]);
});
