// The store, typed once.

import { useTranslation } from "react-i18next";
import { useDispatch, useSelector } from "react-redux";
import type { Dispatch, Person, State, UserId } from "@/model";
import { selectPerson } from "@/model";

/** Dispatches thunks of the model. */
export const useModelDispatch = useDispatch.withTypes<Dispatch>();

/** Reads the state of the model. */
export const useModel = useSelector.withTypes<State>();

/** Somebody; a placeholder until the name is known. */
export function usePerson(userId: UserId): Person {
  const { t } = useTranslation();
  const person = useModel((state) => selectPerson(state, userId));
  return person ?? { userId, username: "", displayName: t("common.somebody"), admin: false };
}
