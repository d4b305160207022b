/** What the tooltip of a drawing contains. */

import type { Hit } from "./hits";
import type { FeatureWords } from "./look";
import type { Place, SceneLine } from "./scene";

export interface Caption {
  /** The drawing's own title, else its feature's. */
  readonly title: string;
  /** Prices; empty for a mark. */
  readonly prices: string;
  readonly description: string;
}

/** A line with more places than these is a curve: its last price is shown. */
const STROKE_PLACES = 3;

export function captionOf(
  hit: Hit,
  words: FeatureWords,
  format: (price: number) => string,
): Caption {
  const { title, description } = words;
  const own = hit.kind === "marker" ? "" : hit.item.title;
  return { title: own || title, prices: pricesOf(hit, format), description };
}

function pricesOf(hit: Hit, format: (price: number) => string): string {
  if (hit.kind === "marker") return format(hit.item.price);
  if (hit.kind === "label") return format(hit.item.price);
  if (hit.kind === "box") return `${format(hit.item.bottom)} – ${format(hit.item.top)}`;
  return linePrices(hit.item, format);
}

function linePrices({ places, name }: SceneLine, format: (price: number) => string): string {
  const [first, last] = [places[0] as Place, places.at(-1) as Place];
  const isLevel = places.every(({ price }) => price === first.price);
  if (isLevel || places.length > STROKE_PLACES) return `${name} ${format(last.price)}`.trim();
  const change = first.price === 0 ? 0 : (last.price / first.price - 1) * 100;
  const sign = change >= 0 ? "+" : "−";
  const percent = `${sign}${Math.abs(change).toFixed(2)}%`;
  return `${format(first.price)} → ${format(last.price)} (${percent})`;
}
