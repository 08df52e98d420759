// For developing without a server: `/?fixtures&messages=10000&rooms=200`. Not part of the build.

import type { Model } from "@/model";
import { createFixtureModel, fixtureState } from "@/model/fixtures";

/** The model that the address asks for. */
export function fixtureModel(query: URLSearchParams): Model {
  const number = (name: string): Record<string, number> => {
    const value = query.get(name);
    return value === null ? {} : { [name]: Number(value) };
  };
  const options = {
    ...number("messages"),
    ...number("rooms"),
    ...number("chatter"),
    signedOut: query.has("signedOut"),
  };
  return createFixtureModel(fixtureState(options), options);
}
