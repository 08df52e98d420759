// Makes the model: the store and what stands behind its thunks.

import { configureStore, type ThunkDispatch, type UnknownAction } from "@reduxjs/toolkit";
import type { Engine } from "./engine";
import { changes, reducer } from "./reduce";
import { browserEnvironment } from "./runtime/browser";
import { LiveEngine } from "./runtime/engine";
import type { Environment } from "./runtime/environment";
import type { State } from "./state";
import type { News } from "./types";

/** For `useDispatch<Dispatch>()`. */
export type Dispatch = ThunkDispatch<State, Engine, UnknownAction>;

/** The model as the app holds it. */
export interface Model {
  readonly store: ReduxStore;
  /** Reads what is kept here, signs in by cookie, connects. Call it once. */
  start(): Promise<void>;
  /** Closes the connection and the database, as when the page goes. */
  stop(): Promise<void>;
  /** Calls back for each message of somebody else as it comes, for notifications; returns how to stop that. */
  onNews(listener: (news: News) => void): () => void;
}

/** The Redux store as `Provider` wants it. */
export type ReduxStore = ReturnType<typeof makeStore>;

export function makeStore(engine: Engine, preloadedState?: State) {
  return configureStore({
    reducer,
    ...(preloadedState ? { preloadedState } : {}),
    devTools: false,
    // The state is plain data by construction, and large: the development checks of every action would cost more than the work.
    middleware: (defaults) =>
      defaults({ thunk: { extraArgument: engine }, serializableCheck: false, immutableCheck: false }),
  });
}

/** Store and engine as one. The engine is made first and given its store after. */
export function joinModel(engine: Engine, store: ReduxStore): Model {
  return {
    store,
    start: () => engine.start(),
    stop: () => engine.stop(),
    onNews: (listener) => engine.onNews(listener),
  };
}

/** What the app may choose. */
export interface CreateModel {
  /** Where the server is; the page's own origin when left out. */
  readonly origin?: string;
}

/** The model that talks to the server this page came from. */
export function createModel(options: CreateModel = {}): Model {
  return modelIn(browserEnvironment(options.origin));
}

/** The model in a given world; tests hand in theirs. */
export function modelIn(environment: Environment): Model {
  const engine = new LiveEngine(environment);
  const store = makeStore(engine);
  engine.attach(
    () => store.getState(),
    (list) => void store.dispatch(changes(list)),
  );
  return joinModel(engine, store);
}
