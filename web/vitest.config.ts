// Unit tests: next to what they test in `src`, and whole journeys over the fake server in `tests`. Browser tests have their own runner.

import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  test: {
    include: ["src/**/*.test.{ts,tsx}", "tests/**/*.test.{ts,tsx}"],
    exclude: ["tests/e2e/**", "node_modules/**"],
    // The pure folders need no browser; a test of components says `// @vitest-environment jsdom` in its first line.
    environment: "node",
    pool: "threads",
    maxWorkers: 2,
    restoreMocks: true,
    // Not a measure of anything: it only ends what hangs, on however busy a machine.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    coverage: { include: ["src/{protocol,client,model}/**"] },
  },
});
