/** What a chart needs of a browser that the tests' DOM does not have: a canvas, and colours. */

const TOKENS = [
  ...["background", "text", "grid", "border", "crosshair", "crosshair-label"],
  ...["up", "down", "up-volume", "down-volume", "gap", "countdown"],
];

/** An element on the page in which a chart can be built; its canvas draws nothing. */
export function chartRoot(): HTMLElement {
  HTMLCanvasElement.prototype.getContext = function getContext(this: HTMLCanvasElement) {
    const known: Record<string | symbol, unknown> = {
      canvas: this,
      measureText: () => ({ width: 10 }),
    };
    return new Proxy(known, {
      get: (held, name) => held[name] ?? (() => undefined),
      set: () => true,
    });
  } as unknown as HTMLCanvasElement["getContext"];
  const root = document.createElement("section");
  for (const name of TOKENS) root.style.setProperty(`--chart-${name}`, "rgb(1, 2, 3)");
  document.body.append(root);
  return root;
}
