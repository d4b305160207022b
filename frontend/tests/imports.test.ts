import { describe, expect, it } from "vitest";

const SOURCES: Record<string, string> = import.meta.glob("../src/*.ts", {
  query: "?raw",
  import: "default",
  eager: true,
});

function importsOf(text: string): string[] {
  return [...text.matchAll(/ from "\.\/([\w-]+)"/g)].map((match) => `../src/${match[1]}.ts`);
}

/** The first circle of imports that is found; null when there is none. */
function findCircle(): string[] | null {
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): string[] | null => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return null;
    for (const next of importsOf(SOURCES[path] ?? "")) {
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
  it("never import one another in a circle, not even for types", () => {
    expect(Object.keys(SOURCES)).toContain("../src/main.ts");
    expect(findCircle()).toBeNull();
  });
});
