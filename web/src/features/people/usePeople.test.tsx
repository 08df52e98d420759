// @vitest-environment jsdom
// Looking for people: what is offered while the answer is on its way.

import { cleanup, configure, renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { Provider } from "react-redux";
import { afterEach, expect, it, vi } from "vitest";
import { createFixtureModel, fixtureState } from "@/model/fixtures";
import { usePeople } from "./usePeople";

// A watchdog, no limit: machines are slow at times.
vi.setConfig({ testTimeout: 60_000 });
configure({ asyncUtilTimeout: 60_000 });
afterEach(cleanup);

it("offers nobody who does not fit what stands in the field now", async () => {
  const { store } = createFixtureModel(fixtureState({ rooms: 3, messages: 1 }));
  const wrapper = ({ children }: { readonly children: ReactNode }) => <Provider store={store}>{children}</Provider>;
  const { result, rerender } = renderHook(({ query }) => usePeople(query, "all"), {
    wrapper,
    initialProps: { query: "" },
  });
  await waitFor(() => expect(result.current.people.length).toBeGreaterThan(2));
  const last = result.current.people.at(-1);
  rerender({ query: `  ${last?.username.toUpperCase() ?? ""}` });
  // The answer is not there yet: keys have not even come to rest.
  expect(result.current.loading).toBe(true);
  expect(result.current.people.map((person) => person.userId)).toEqual([last?.userId]);
  await waitFor(() => expect(result.current.loading).toBe(false));
  expect(result.current.people.map((person) => person.userId)).toContain(last?.userId);
});
