// @vitest-environment jsdom
// The field to write in, over the model's fixtures: what a person does and what is there afterwards.

import { cleanup, configure, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { createRef, type ReactNode } from "react";
import { Provider } from "react-redux";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { startI18n } from "@/i18n";
import { type Model, selectDraft, selectTimeline, setDraft, setSettings } from "@/model";
import { createFixtureModel, fixtureRoomId } from "@/model/fixtures";
import { Composer } from "./Composer";

const roomId = fixtureRoomId(2);

// A watchdog, no limit: machines are slow at times.
vi.setConfig({ testTimeout: 60_000 });
configure({ asyncUtilTimeout: 60_000 });

beforeAll(() => {
  startI18n();
  // jsdom knows neither; in a browser both are there.
  vi.stubGlobal("CSS", { supports: () => true, escape: (text: string) => text });
});

afterEach(cleanup);

function Field({ model, onUp }: { readonly model: Model; readonly onUp: () => void }): ReactNode {
  return (
    <Provider store={model.store}>
      <Composer roomId={roomId} title="ops at night" field={createRef()} onUp={onUp} />
    </Provider>
  );
}

function open(prepare: (model: Model) => void = () => undefined) {
  const model = createFixtureModel();
  prepare(model);
  const onUp = vi.fn();
  const view = render(<Field model={model} onUp={onUp} />);
  const field = screen.getByRole<HTMLTextAreaElement>("textbox", { name: /Message to/u });
  const texts = (): string[] =>
    selectTimeline(model.store.getState(), roomId).rows.flatMap((row) =>
      row.kind === "message" && row.message.content?.kind === "text" ? [row.message.content.text] : [],
    );
  return { model, onUp, field, texts, unmount: view.unmount, user: userEvent.setup() };
}

const sendButton = (): HTMLButtonElement => screen.getByRole("button", { name: "Send" });

describe("the field", () => {
  it("sends with Enter, and is empty at once", async () => {
    const { field, texts, user } = open();
    await user.type(field, "Hello{Shift>}{Enter}{/Shift}there{Enter}");
    expect(field.value).toBe("");
    await waitFor(() => expect(texts()).toContain("Hello\nthere"));
  });

  it("sends with Ctrl and Enter only, when the person wants it so", async () => {
    const { field, texts, user } = open((model) => model.store.dispatch(setSettings({ enterSends: false })));
    await user.type(field, "one{Enter}two");
    expect(texts()).not.toContain("one");
    await user.keyboard("{Control>}{Enter}{/Control}");
    await waitFor(() => expect(texts()).toContain("one\ntwo"));
  });

  it("sends nothing that is only white space", async () => {
    const { field, texts, user } = open();
    const before = texts().length;
    await user.type(field, "   {Enter}");
    expect(texts()).toHaveLength(before);
    expect(sendButton().disabled).toBe(true);
  });

  it("keeps what is written as a draft, and begins with it", async () => {
    const first = open();
    await first.user.type(first.field, "half a thought");
    expect(selectDraft(first.model.store.getState(), roomId)).toBe("half a thought");
    first.unmount();
    const second = open((model) => model.store.dispatch(setDraft(roomId, "half a thought")));
    expect(second.field.value).toBe("half a thought");
  });

  it("counts when little is left, and does not send too much", async () => {
    const { field, user } = open((model) => model.store.dispatch(setDraft(roomId, "😀".repeat(4095))));
    expect(screen.getByText("1 character left")).toBeTruthy();
    expect(sendButton().disabled).toBe(false);
    field.setSelectionRange(field.value.length, field.value.length);
    await user.type(field, "ab", { initialSelectionStart: field.value.length });
    expect(screen.getByText("1 character too many")).toBeTruthy();
    expect(sendButton().disabled).toBe(true);
    expect(field.getAttribute("aria-invalid")).toBe("true");
  });

  it("goes up to the messages when it is empty", async () => {
    const { field, onUp, user } = open();
    await user.type(field, "x{ArrowUp}");
    expect(onUp).not.toHaveBeenCalled();
    await user.type(field, "{Backspace}{ArrowUp}");
    expect(onUp).toHaveBeenCalledOnce();
  });

  it("completes emoji by name with the keys", async () => {
    const { field, texts, user } = open();
    await user.type(field, "so :smil");
    const list = await screen.findByRole("listbox");
    expect(list.querySelectorAll('[role="option"]').length).toBeGreaterThan(1);
    expect(field.getAttribute("aria-activedescendant")).toBe(list.querySelector('[aria-selected="true"]')?.id);
    await user.keyboard("{Enter}");
    expect(field.value).toMatch(/^so \p{Emoji_Presentation} $/u);
    expect(texts()).not.toContain("so :smil");
    expect(screen.queryByRole("listbox")).toBeNull();
  });

  it("closes the suggestions with Escape and sends what stands there", async () => {
    const { field, texts, user } = open();
    await user.type(field, "so :smil");
    await screen.findByRole("listbox");
    await user.keyboard("{Escape}");
    expect(screen.queryByRole("listbox")).toBeNull();
    await user.keyboard("{Enter}");
    await waitFor(() => expect(texts()).toContain("so :smil"));
  });
});
