#!/usr/bin/env node
// Runs Lighthouse over the web client of a real server, signed out and signed in, and writes docs/lighthouse.md. Ends with 1 when
// accessibility is below 100 or best practices below 95 anywhere.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import lighthouse from "lighthouse";
import { signIn } from "../../tests/browser/support/app.mjs";
import { persistent } from "../../tests/browser/support/browser.mjs";
import { freePort, Server } from "../../tests/browser/support/server.mjs";
import { world } from "../../tests/browser/support/states.mjs";

const LEAST = { accessibility: 100, "best-practices": 95 };
const OUT = new URL("../../docs/lighthouse.md", import.meta.url).pathname;

const server = await Server.start();
const profile = mkdtempSync(join(tmpdir(), "causerie-lighthouse-"));
const port = await freePort();
const context = await persistent(profile, server, port);
const rows = [];
const findings = [];
try {
  const all = await world(server);
  const audit = async (name, path) => {
    for (const formFactor of ["mobile", "desktop"]) {
      const desktop = { formFactor, screenEmulation: { mobile: false, width: 1350, height: 940, deviceScaleFactor: 1, disabled: false } };
      const { lhr } = await lighthouse(server.origin + path, {
        port,
        logLevel: "error",
        onlyCategories: Object.keys(LEAST),
        disableStorageReset: true,
        enableErrorReporting: false,
        ...(formFactor === "desktop" ? desktop : { formFactor }),
      });
      const scores = Object.keys(LEAST).map((category) => Math.round(lhr.categories[category].score * 100));
      rows.push({ name, formFactor, scores, version: lhr.lighthouseVersion });
      for (const category of Object.keys(LEAST)) {
        for (const { id, weight } of lhr.categories[category].auditRefs) {
          const { score, title } = lhr.audits[id];
          if (weight > 0 && score !== null && score < 1) findings.push(`${name}, ${formFactor}: ${title} (${id})`);
        }
      }
      console.log(name, formFactor, ...scores);
    }
  };
  await audit("Sign in", "/signin");
  await audit("Create account", "/signup");
  const page = await context.newPage();
  await signIn(page, "ann.world");
  await page.close();
  await audit("Conversations", "/");
  await audit("A room", `/r/${all.garden}`);
  await audit("Details and members", `/r/${all.garden}/details`);
  await audit("Find rooms", "/rooms");
  await audit("Settings", "/settings");
} finally {
  await context.close();
  await server.remove();
  rmSync(profile, { recursive: true, force: true });
}

const table = rows.map(({ name, formFactor, scores }) => `| ${name} | ${formFactor} | ${scores.join(" | ")} |`);
const text = `# Lighthouse

What \`make lighthouse\` found last, with Lighthouse ${rows[0].version} against the real server. It wants accessibility ${LEAST.accessibility} and best practices
${LEAST["best-practices"]} or more, and ends with an error below. Lighthouse sees a part of what matters; \`tests/browser/reach.test.mjs\` looks at every page and state
with axe, and walks through the app by keyboard.

| page | as | accessibility | best practices |
|---|---|---|---|
${table.join("\n")}

${findings.length === 0 ? "Nothing was found." : `Found:\n\n${[...new Set(findings)].map((line) => `- ${line}`).join("\n")}`}
`;
writeFileSync(OUT, text);
const low = rows.some(({ scores }) => scores.some((score, at) => score < Object.values(LEAST)[at]));
process.exitCode = low ? 1 : 0;
