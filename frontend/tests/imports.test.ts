import { describe, expect, it } from "vitest";

const CLIENT = "../../clients/typescript/src";

const SOURCES: Record<string, string> = import.meta.glob(
  ["../src/**/*.ts", "../../clients/typescript/src/*.ts"],
  { query: "?raw", import: "default", eager: true },
);

const FACTOR_NAMES = /pivot|zhongshu|anchor|\bpens?\b|\bsr\b|\bsr\./gi;

function importsOf(path: string): string[] {
  const imported = (SOURCES[path] ?? "").matchAll(/ from "(\.\.?|trade-canvas-client)\/([\w./-]+)"/g);
  return [...imported].map(([, start, end = ""]) => {
    const file = `${end.replace(/\.js$/, "")}.ts`;
    if (start === "trade-canvas-client") return `${CLIENT}/${file}`;
    const base = new URL(path.replace(/^(\.\.\/)+/, ""), "file:///");
    const found = new URL(`${start}/${file}`, base).pathname;
    return path.startsWith(CLIENT) ? `../..${found}` : `..${found}`;
  });
}

/** The first circle of imports that is found; null when there is none. */
function findCircle(): string[] | null {
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): string[] | null => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return null;
    for (const next of importsOf(path)) {
      const circle = visit(next, [...way, path]);
      if (circle !== null) return circle;
    }
    done.add(path);
    return null;
  };
  for (const path of Object.keys(SOURCES)) {
    const circle = visit(path, []);
    if (circle !== null) return circle;
  }
  return null;
}

describe("modules", () => {
  it("are found behind every import", () => {
    const missing = Object.keys(SOURCES)
      .flatMap(importsOf)
      .filter((path) => !(path in SOURCES));
    expect(missing).toEqual([]);
    expect(importsOf("../src/main.ts")).toContain(`${CLIENT}/sync-session.ts`);
  });

  it("of the client import nothing but one another", () => {
    const client = Object.keys(SOURCES).filter((path) => path.startsWith(CLIENT));
    expect(client.length).toBeGreaterThan(20);
    for (const path of client) {
      const imported = (SOURCES[path] ?? "").matchAll(/ from "([^"]+)"/g);
      for (const [, from] of imported) expect(from).toMatch(/^\.\/[\w-]+\.js$/);
    }
  });

  it("never import one another in a circle, not even for types", () => {
    expect(Object.keys(SOURCES)).toContain("../src/main.ts");
    expect(findCircle()).toBeNull();
  });

  it("name no factor: what is drawn, and how, comes from the server", () => {
    const styles: Record<string, string> = import.meta.glob("../src/**/*.css", {
      query: "?raw",
      import: "default",
      eager: true,
    });
    const named = Object.entries({ ...SOURCES, ...styles }).flatMap(([path, text]) =>
      (text.match(FACTOR_NAMES) ?? []).map((name) => `${path}: ${name}`),
    );
    expect(named).toEqual([]);
    expect("anchor.history".match(FACTOR_NAMES)).not.toBeNull();
  });
});
