// The model: everything the UI may use, and nothing else of these folders.
//
// The contract in short
// - The state is one Redux store. Read it with the selectors below (`useSelector(selectRoomList)`,
//   `useSelector((state: State) => selectTimeline(state, roomId))`): they answer the same object until what they show changed, so no
//   memo of your own is needed. Rows keep their identity too: `React.memo` by row is enough.
// - Change it with the thunks below (`useDispatch<Dispatch>()`). None throws; those that can fail answer `Result`:
//   `{ok: true, value}` or `{ok: false, problem}`. `problem.code` has the sentence `error.<code>` in i18n (`errorCodes` lists them all),
//   `problem.field` names the form's field, `problem.retryAt` is when one may go on.
// - `createModel()` (app/main.tsx calls it once) makes store and engine; `model.start()` reads what is kept and signs in by cookie;
//   until then `selectSession(...).phase` is `starting`. Tests and stories: `createFixtureModel()` of `model/fixtures`.
// - Own messages: they are rows from the first moment (`message.state`: waiting, sending, sent, failed with `problem`) and keep their
//   key when they become sent.
// - The unread line is a row; it stands where reading stopped when `openRoom` was called and stays until the room is left.
// - `connection.banner` is true when it is time to say something (2 s without a connection); `connection.reason` has the
//   sentence `connection.<reason>`, `connection.retryAt` counts down.
// - Times are numbers (ms since 1970). Nothing here is translated.

export * from "./actions";
export { type CreateModel, createModel, type Dispatch, type Model, type ReduxStore } from "./create";
export type { Engine, NewRoom, RoomChange, SignUp } from "./engine";
export * from "./errorCodes";
export * from "./selectors";
export type { State } from "./state";
export type * from "./types";
