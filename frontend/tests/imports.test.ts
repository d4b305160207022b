import { describe, expect, it } from "vitest";

const SOURCES: Record<string, string> = import.meta.glob("../src/**/*.ts", {
  query: "?raw",
  import: "default",
  eager: true,
});

const FACTOR_NAMES = /pivot|zhongshu|anchor|\bpens?\b|\bsr\b|\bsr\./gi;

function importsOf(path: string): string[] {
  const imported = (SOURCES[path] ?? "").matchAll(/ from "(\.\.?\/[\w/-]+)"/g);
  const base = new URL(path.slice("../src/".length), "file:///src/");
  return [...imported].map((match) => `..${new URL(`${match[1]}.ts`, base).pathname}`);
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
