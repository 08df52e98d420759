// The forms' limits are the server's, as far as its schema says them.

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { DISPLAY_NAME_MAX, ROOM_DESCRIPTION_MAX, ROOM_NAME_MAX } from "./limits";

interface Api {
  readonly components: {
    readonly schemas: Readonly<
      Record<string, { readonly properties?: Readonly<Record<string, { readonly maxLength?: number }>> }>
    >;
  };
}

const file = new URL("../../../../schema/protocol/openapi.json", import.meta.url);
const { schemas } = (JSON.parse(readFileSync(file, "utf8")) as Api).components;
const longest = (schema: string, field: string): number | undefined => schemas[schema]?.properties?.[field]?.maxLength;

it("forms allow as much as the server", () => {
  expect(ROOM_NAME_MAX).toBe(longest("NewRoom", "name"));
  expect(ROOM_NAME_MAX).toBe(longest("ChangeRoom", "name"));
  expect(ROOM_DESCRIPTION_MAX).toBe(longest("NewRoom", "description"));
  expect(ROOM_DESCRIPTION_MAX).toBe(longest("ChangeRoom", "description"));
  expect(DISPLAY_NAME_MAX).toBe(longest("ChangeMe", "display_name"));
});
