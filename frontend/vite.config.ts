import { defineConfig } from "vitest/config";

const BACKEND = "http://127.0.0.1:8000";

// Built assets are served under /static/ while index.html itself is the page at "/".
export default defineConfig(({ command }) => ({
  base: command === "build" ? "/static/" : "/",
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the CSP allows data: URLs for images only
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    port: 5173,
    proxy: {
      "/api": { target: BACKEND },
      "/ws": { target: BACKEND.replace("http", "ws"), ws: true },
    },
  },
  test: {
    include: ["tests/**/*.test.ts"],
    environment: "node",
  },
}));
