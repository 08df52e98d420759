// The REST interface as types: what each call takes, and its answer read against its shape.

import { type Operations, operations, restShapes } from "./generated/rest";
import { read, type Shape } from "./read";

export { type Operations, operations } from "./generated/rest";

/** The name of a call. */
export type Operation = keyof Operations;

const shapes: Readonly<Record<string, Shape>> = restShapes;

/** The answer of a call, as far as it has the form that the contract says; undefined when it has not. */
export function readAnswer<Name extends Operation>(name: Name, value: unknown): Operations[Name]["answer"] | undefined {
  const { answer } = operations[name];
  const shape = answer === null ? undefined : shapes[answer];
  // The shapes are generated from the same contract as the types.
  return shape && (read(value, shape, shapes) as Operations[Name]["answer"]);
}

/** The body of an answer that is no success. */
export function readProblem(
  value: unknown,
): { code: string; detail?: string; field?: string; retry_after_ms?: number } | undefined {
  return read(value, PROBLEM, shapes) as ReturnType<typeof readProblem>;
}

/** Of a problem only the code is needed: a proxy's half answer is better than none. */
const PROBLEM: Shape = {
  kind: "object",
  open: false,
  fields: {
    code: { is: { kind: "string" }, needed: true },
    detail: { is: { kind: "string" }, needed: false },
    field: { is: { kind: "string" }, needed: false },
    retry_after_ms: { is: { kind: "count" }, needed: false },
  },
};
