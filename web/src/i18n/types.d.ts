// Tells TypeScript which keys there are: a wrong one does not compile.

import "i18next";

import type { en } from "./en";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "translation";
    resources: { translation: typeof en };
  }
}
