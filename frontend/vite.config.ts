import { brotliCompressSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const BACKEND = "http://127.0.0.1:8000";

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
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the CSP allows data: URLs for images only
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { input: { index: "index.html", early: "src/early.ts" } },
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
