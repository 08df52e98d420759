// Which model stands behind the page: the real one; while developing, `?fixtures` gives one that needs no server.

import { createModel, type Model } from "@/model";

/** Makes the model. */
export async function chooseModel(): Promise<Model> {
  if (import.meta.env.DEV && new URLSearchParams(location.search).has("fixtures")) {
    return (await import("./fixtures")).fixtureModel(new URLSearchParams(location.search));
  }
  return createModel();
}
