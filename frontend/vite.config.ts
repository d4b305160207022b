import { brotliCompressSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const BACKEND = "http://127.0.0.1:8000";
/** The client that the page shares with other programs. */
const CLIENT = fileURLToPath(new URL("../clients/typescript", import.meta.url));

/** Puts `x.br` beside the script and the styles: the server sends it to browsers that accept it. */
function brotli(): Plugin {
  return {
    name: "brotli",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        for (const file of Object.values(bundle)) {
          if (!/\.(js|css)$/.test(file.fileName)) continue;
          const source = brotliCompressSync(file.type === "chunk" ? file.code : file.source);
          this.emitFile({ type: "asset", fileName: `${file.fileName}.br`, source });
        }
      },
    },
  };
}

/** Puts `src/early.ts` into the page, where it runs before the page's script has arrived. */
function early(): Plugin {
  return {
    name: "early",
    transformIndexHtml: {
      order: "post",
      handler(_, { bundle }) {
        const [file, chunk] = Object.entries(bundle ?? {}).find(([, { name }]) => name === "early") ?? [];
        if (file === undefined || chunk?.type !== "chunk") {
          return [{ tag: "script", attrs: { type: "module", src: "/src/early.ts" } }];
        }
        delete bundle?.[file];
        return [{ tag: "script", children: `(()=>{${chunk.code.trim()}})()`, injectTo: "head-prepend" }];
      },
    },
  };
}

// Built assets are served under /static/ while index.html itself is the page at "/".
export default defineConfig(({ command }) => ({
  base: command === "build" ? "/static/" : "/",
  plugins: [early(), brotli()],
  resolve: {
    alias: { "trade-canvas-client": `${CLIENT}/src` },
    // The client's tests are outside of this folder, and have no packages of their own.
    dedupe: ["vitest"],
  },
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the CSP allows data: URLs for images only
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { input: { index: "index.html", early: "src/early.ts" } },
  },
  server: {
    port: 5173,
    fs: { allow: [".", CLIENT] },
    proxy: {
      "/api": { target: BACKEND },
      "/ws": { target: BACKEND.replace("http", "ws"), ws: true },
    },
  },
  test: {
    include: ["tests/**/*.test.ts", `${CLIENT}/tests/**/*.test.ts`],
    environment: "node",
    // They end a test that hangs. On a busy machine another one may take as many seconds.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
}));
