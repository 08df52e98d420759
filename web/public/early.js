/* global document, localStorage */
// Runs before the first paint: sets theme, density and direction as they were last, so that nothing flashes. A file of its own, since
// the page allows no inline script. See src/app/settings.ts.
(() => {
  try {
    const early = JSON.parse(localStorage.getItem("causerie.early") || "{}");
    const root = document.documentElement;
    if (/^(light|dark|contrast)$/.test(early.theme)) root.dataset.theme = early.theme;
    if (early.density === "compact") root.dataset.density = "compact";
    if (/^[a-z]{2}$/.test(early.lang)) root.lang = early.lang;
    if (early.dir === "rtl") root.dir = "rtl";
  } catch {
    // Nothing is kept, or it is not ours: the system's theme will do.
  }
})();
