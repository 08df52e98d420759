// How the app is built. `npm run dev` serves it from here and passes the API and the socket on to a Causerie server
// (CAUSERIE=https://localhost:8443, its self-signed certificate is accepted); `npm run build` writes `dist`, which the server embeds.

import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { VitePWA } from "vite-plugin-pwa";

const server = process.env["CAUSERIE"] ?? "https://localhost:8443";

export default defineConfig({
  plugins: [
    react(),
    VitePWA({
      strategies: "injectManifest",
      srcDir: "src",
      filename: "sw.ts",
      registerType: "prompt",
      injectRegister: false,
      manifest: false,
      injectManifest: { globPatterns: ["**/*.{js,css,html,svg,woff2,webmanifest}"], rollupFormat: "iife" },
    }),
  ],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: { target: "es2022", sourcemap: false, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: {
    proxy: {
      "/api": { target: server, secure: false, changeOrigin: true },
      "/ws": { target: server, secure: false, changeOrigin: true, ws: true },
    },
  },
});
