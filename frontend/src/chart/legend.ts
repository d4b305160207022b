/** Open, high, low, close and volume of the candle under the crosshair, else of the newest one. */

import { lowerBound } from "../sync/candle-list";
import { element, setText } from "../shell/dom";
import { formatPercent, formatPrice, formatVolume } from "../i18n/format";
import { displaySymbol, parseSeriesId } from "../sync/series-id";
import type { Candle } from "../sync/candle";
import type { SeriesState } from "../sync/series-state";

const FIELDS = ["O", "H", "L", "C", "V"] as const;

export class Legend {
  private readonly root: HTMLElement;
  private readonly name = element("span", { class: "legend-name" });
  private readonly values = FIELDS.map(() => element("span", { class: "legend-value" }));
  private readonly change = element("span", { class: "legend-value" });
  private readonly figures: HTMLElement;
  private pointed: number | null = null;

  constructor(root: HTMLElement) {
    this.root = root;
    const pairs = FIELDS.map((field, index) =>
      element("span", { class: `legend-pair legend-${field}` }, [
        element("span", { class: "legend-key", text: field }),
        this.values[index] as HTMLElement,
      ]),
    );
    this.figures = element("span", { class: "legend-figures" }, [...pairs, this.change]);
    root.append(this.name, this.figures);
  }

  point(time: number | null): void {
    this.pointed = time;
  }

  render(state: SeriesState, precision: number): void {
    const { symbol, exchange, timeframe } = parseSeriesId(state.seriesId);
    setText(this.name, `${displaySymbol(symbol)} · ${timeframe.text} · ${exchange}`);
    const candle = this.candleOf(state);
    this.figures.hidden = candle === undefined;
    if (candle === undefined) return;
    this.root.dataset["direction"] = candle.close >= candle.open ? "up" : "down";
    const prices = [candle.open, candle.high, candle.low, candle.close];
    const texts = [
      ...prices.map((price) => formatPrice(price, precision)),
      formatVolume(candle.volume),
    ];
    texts.forEach((text, index) => setText(this.values[index] as HTMLElement, text));
    const percent = candle.open === 0 ? 0 : ((candle.close - candle.open) / candle.open) * 100;
    setText(this.change, formatPercent(percent));
  }

  private candleOf(state: SeriesState): Candle | undefined {
    const newest = state.forming ?? state.candles.at(-1);
    if (this.pointed === null || this.pointed === state.forming?.candle_time) return newest;
    const found = state.candles[lowerBound(state.candles, this.pointed)];
    return found?.candle_time === this.pointed ? found : newest;
  }
}
