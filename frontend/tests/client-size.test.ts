import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";
import { describe, expect, it } from "vitest";

/** Of the client as it is built, gzipped: more than this needs a reason. */
const MOST_BYTES = 13_500;
const PAGES = ["clients/typescript/README.md", "docs/typescript-client.md"];

const fileOf = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

describe("the built client", () => {
  it("is as small as its pages state, and no larger than its bound", async () => {
    const [output] = (await build({
      configFile: fileOf("vite.client.config.ts"),
      logLevel: "silent",
      build: { write: false },
    })) as Rolldown.RolldownOutput[];
    expect(output?.output).toHaveLength(1);
    const { code } = output?.output[0] as Rolldown.OutputChunk;
    expect(code).not.toMatch(/^import\b/m);
    const gzipped = gzipSync(code, { level: 9 }).length;
    expect(gzipped).toBeLessThan(MOST_BYTES);
    for (const page of PAGES) {
      const text = readFileSync(fileOf(`../${page}`), "utf8");
      const [, minified, small] = /([\d.]+) kB minified, ([\d.]+) kB with gzip/.exec(text) ?? [];
      expect(Math.abs(Number(minified) - code.length / 1000)).toBeLessThan(0.5);
      expect(Math.abs(Number(small) - gzipped / 1000)).toBeLessThan(0.2);
    }
  });
});
