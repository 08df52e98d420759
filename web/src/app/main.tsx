// The beginning: words, model, page. Nothing is drawn before the words are there; nothing waits for the network.

import "@/styles/index.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { watchInstall } from "@/features/shared/install";
import { startI18n } from "@/i18n";
import { App } from "./App";
import { chooseModel } from "./model";
import { startServiceWorker } from "./serviceWorker";
import { followSettings } from "./settings";

async function begin(): Promise<void> {
  startI18n();
  watchInstall();
  const model = await chooseModel();
  await followSettings(model.store);
  const root = document.getElementById("root");
  if (root === null) throw new Error("index.html has no #root");
  createRoot(root).render(
    <StrictMode>
      <App model={model} />
    </StrictMode>,
  );
  void model.start();
  startServiceWorker();
}

void begin();
