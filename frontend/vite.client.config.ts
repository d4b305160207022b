import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const CLIENT = fileURLToPath(new URL("../clients/typescript", import.meta.url));

// One module without dependencies: for Node.js, for bundlers, and for a page as it is.
export default defineConfig({
  root: CLIENT,
  publicDir: false,
  build: {
    target: "es2022",
    lib: { entry: "src/index.ts", formats: ["es"], fileName: "trade-canvas-client" },
    emptyOutDir: false,
    reportCompressedSize: false,
    rolldownOptions: { output: { minify: true } },
  },
});
