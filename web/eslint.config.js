// The rules of the house: strict types, hooks used rightly, and the walls between folders. A folder may use what stands below it:
//   protocol <- client <- model <- features <- app;  ui stands beside (it knows nothing of the model).

import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

/** Files of `folder` may not import from `others`, whether by alias or by a relative path. */
function wall(folder, others, more = []) {
  const regex = `(^@/|^(\\.\\./)+)(${others.join("|")})(/|$)`;
  return {
    files: [`src/${folder}/**/*.{ts,tsx}`],
    ignores: ["**/*.test.ts", "**/*.test.tsx"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { regex, message: `${folder} stands below ${others.join(", ")}: arrows point the other way.` },
            ...more,
          ],
        },
      ],
    },
  };
}

const noReact = {
  regex: "^(react|react-dom|react-redux|react-router|react-aria-components|react-i18next|i18next)(/|$)",
  message: "What is shown is decided above.",
};
const onlyIndex = {
  regex: "(^@/|^(\\.\\./)+)model/(?!fixtures$).+",
  message: "The model's contract is model/index.ts.",
};
/** The pure folders are handed time and chance: they read no clock and roll no dice. */
const pure = {
  "no-restricted-globals": [
    "error",
    "window",
    "document",
    "navigator",
    "localStorage",
    "setTimeout",
    "setInterval",
    "WebSocket",
    "fetch",
  ],
  "no-restricted-properties": [
    "error",
    { object: "Date", property: "now", message: "The clock is handed in." },
    { object: "Math", property: "random", message: "Chance is handed in." },
    { object: "performance", property: "now", message: "The clock is handed in." },
  ],
};

export default defineConfig([
  globalIgnores(["dist", "dev-dist", "coverage", "node_modules", "src/protocol/generated"]),
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      // `noPropertyAccessFromIndexSignature` asks for the brackets that this rule would take away.
      "@typescript-eslint/dot-notation": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      eqeqeq: "error",
      "no-console": "error",
    },
  },
  { files: ["src/**/*.tsx", "src/{app,features,ui}/**/*.ts"], ...hooks.configs.flat["recommended-latest"] },
  wall("protocol", ["client", "model", "features", "ui", "app", "i18n"], [noReact]),
  wall("client", ["model", "features", "ui", "app", "i18n"], [noReact]),
  wall("model", ["features", "ui", "app", "i18n"], [noReact]),
  wall("features", ["app", "client"], [onlyIndex]),
  wall("ui", ["app", "features", "model", "client"]),
  wall("i18n", ["app", "features", "ui", "client"], [onlyIndex]),
  wall("app", ["client"], [onlyIndex]),
  {
    files: ["src/protocol/**/*.ts", "src/client/**/*.ts"],
    ignores: ["src/client/browser/**", "**/*.test.ts"],
    rules: pure,
  },
  { files: ["**/*.js", "**/*.mjs"], ...tseslint.configs.disableTypeChecked },
  {
    files: ["scripts/**", "*.config.*", "eslint.config.js"],
    languageOptions: { globals: { process: "readonly", console: "readonly", URL: "readonly" } },
    rules: { "no-console": "off" },
  },
]);
