// @vitest-environment jsdom
// Jumping to a room without a mouse, over the model's fixtures with three hundred rooms.

import { cleanup, configure, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { Provider } from "react-redux";
import { MemoryRouter, useLocation } from "react-router";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { startI18n } from "@/i18n";
import { createFixtureModel, fixtureRoomId, fixtureState } from "@/model/fixtures";
import { Switcher } from "./Switcher";

// A watchdog, no limit: machines are slow at times.
vi.setConfig({ testTimeout: 60_000 });
configure({ asyncUtilTimeout: 60_000 });

beforeAll(() => {
  startI18n();
  // jsdom has neither of these; browsers do.
  vi.stubGlobal("CSS", { escape: (text: string) => text, supports: () => true });
  Element.prototype.scrollIntoView = () => undefined;
});
afterEach(cleanup);

function Place(): ReactNode {
  return <output>{useLocation().pathname}</output>;
}

function open() {
  const onClose = vi.fn();
  render(
    <Provider store={createFixtureModel(fixtureState({ rooms: 300, messages: 1 })).store}>
      <MemoryRouter>
        <Place />
        <Switcher onClose={onClose} />
      </MemoryRouter>
    </Provider>,
  );
  const field = screen.getByRole("combobox");
  const list = screen.getByRole("listbox");
  const options = (): HTMLElement[] => [...list.querySelectorAll<HTMLElement>('[role="option"]')];
  const chosen = (): HTMLElement | undefined =>
    options().find((option) => option.getAttribute("aria-selected") === "true");
  // The page behind a dialog is hidden from roles.
  const place = (): string => document.querySelector("output")?.textContent ?? "";
  return { field, options, chosen, place, onClose, user: userEvent.setup() };
}

describe("the switcher", () => {
  it("has the focus, and shows what is unread first", () => {
    const { field, options } = open();
    expect(document.activeElement).toBe(field);
    expect(options()[0]?.querySelector(".badge")).not.toBeNull();
  });

  it("finds one of three hundred rooms and goes there with Enter", async () => {
    const { field, chosen, place, onClose, user } = open();
    await user.type(field, "room 237");
    expect(chosen()?.textContent).toContain("room 237");
    expect(field.getAttribute("aria-activedescendant")).toBe(chosen()?.id);
    await user.keyboard("{Enter}");
    expect(place()).toBe(`/r/${fixtureRoomId(237)}`);
    expect(onClose).toHaveBeenCalled();
  });

  it("goes through the list with the arrow keys, and round at its ends", async () => {
    const { field, options, chosen, user } = open();
    await user.type(field, "room 23");
    await user.keyboard("{ArrowDown}");
    expect(chosen()).toBe(options()[1]);
    await user.keyboard("{ArrowUp}{ArrowUp}");
    expect(chosen()).toBe(options().at(-1));
  });

  it("says so when nothing fits", async () => {
    const { field, options, user } = open();
    await user.type(field, "zzzqqq");
    expect(options()).toHaveLength(0);
    expect(screen.getByText("Nothing matches.")).toBeTruthy();
  });
});
