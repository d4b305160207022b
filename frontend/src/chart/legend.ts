/** Prices and the figures of studies of the candle under the crosshair, else of the newest one. */

import { lowerBound } from "../sync/candle-list";
import { element, setData, setHidden, setText } from "../dom";
import { formatPercent, formatPrice, type PriceUnit } from "../i18n/format";
import { displaySymbol, parseSeriesId } from "../sync/series-id";
import type { Candle } from "../sync/candle";
import type { SeriesState } from "../sync/series-state";
import type { LegendEntry } from "../studies/study";

const FIELDS = ["O", "H", "L", "C"] as const;

export class Legend {
  private readonly root: HTMLElement;
  private readonly name = element("span", { class: "legend-name" });
  private readonly values = FIELDS.map(() => element("span", { class: "legend-value" }));
  private readonly change = element("span", { class: "legend-value" });
  private readonly studies = element("span", { class: "legend-studies" });
  private readonly figures: HTMLElement;
  private named = "";
  private shown: readonly LegendEntry[] = [];
  private pointed: number | null = null;

  constructor(root: HTMLElement) {
    this.root = root;
    const pairs = FIELDS.map((field, index) =>
      element("span", { class: `legend-pair legend-${field}` }, [
        element("span", { class: "legend-key", text: field }),
        this.values[index] as HTMLElement,
      ]),
    );
    this.figures = element("span", { class: "legend-figures" }, [
      ...pairs,
      this.studies,
      this.change,
    ]);
    root.append(this.name, this.figures);
  }

  point(time: number | null): void {
    this.pointed = time;
  }

  /** `figures` gives what the studies add for a candle. */
  render(
    state: SeriesState,
    unit: PriceUnit,
    figures: (candle: Candle) => readonly LegendEntry[],
  ): void {
    if (state.seriesId !== this.named) {
      const { symbol, exchange, timeframe } = parseSeriesId(state.seriesId);
      setText(this.name, `${displaySymbol(symbol)} · ${timeframe.text} · ${exchange}`);
      this.named = state.seriesId;
    }
    const candle = this.candleOf(state);
    setHidden(this.figures, candle === undefined);
    if (candle === undefined) return;
    setData(this.root, "direction", candle.close >= candle.open ? "up" : "down");
    [candle.open, candle.high, candle.low, candle.close].forEach((price, index) =>
      setText(this.values[index] as HTMLElement, formatPrice(price, unit)),
    );
    this.showStudies(figures(candle));
    const percent = candle.open === 0 ? 0 : ((candle.close - candle.open) / candle.open) * 100;
    setText(this.change, formatPercent(percent));
  }

  /** New figures of the same studies change their texts alone. */
  private showStudies(entries: readonly LegendEntry[]): void {
    const names = (list: readonly LegendEntry[]): string => list.map(({ name }) => name).join(" ");
    if (names(entries) !== names(this.shown)) {
      this.studies.replaceChildren(...entries.map(pairOf));
    } else {
      const values = this.studies.querySelectorAll(".legend-value");
      entries.forEach(({ text }, index) => setText(values[index] as Element, text));
    }
    this.shown = entries;
  }

  private candleOf(state: SeriesState): Candle | undefined {
    const newest = state.forming ?? state.candles.at(-1);
    if (this.pointed === null || this.pointed === state.forming?.candle_time) return newest;
    const found = state.candles[lowerBound(state.candles, this.pointed)];
    return found?.candle_time === this.pointed ? found : newest;
  }
}

function pairOf({ name, text }: LegendEntry): HTMLElement {
  return element("span", { class: `legend-pair legend-${name}` }, [
    element("span", { class: "legend-key", text: name }),
    element("span", { class: "legend-value", text }),
  ]);
}
