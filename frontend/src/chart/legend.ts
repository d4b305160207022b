/** Prices and the figures of studies of the candle under the crosshair, else of the newest one. */

import { lowerBound } from "../sync/candle-list";
import { element, setHidden, setText } from "../dom";
import { formatPercent, formatPrice, type PriceUnit } from "../i18n/format";
import { PaintedText, PRICE_SLACK_PX } from "../painted-text";
import { displaySymbol, parseSeriesId } from "../sync/series-id";
import type { Candle } from "../sync/candle";
import type { SeriesState } from "../sync/series-state";
import type { LegendEntry } from "../studies/study";

/** Room for figures of other lengths, which would move those behind them, pixels. */
const SLACK_PX = 24;
const FIELDS = ["O", "H", "L", "C"] as const;

export class Legend {
  private readonly name = element("span", { class: "legend-name" });
  private readonly values = FIELDS.map(() => valueText(PRICE_SLACK_PX));
  private readonly change = valueText(SLACK_PX);
  private readonly studies = element("span", { class: "legend-studies" });
  private readonly figures: HTMLElement;
  private named = "";
  private shown: readonly LegendEntry[] = [];
  private shownTexts: readonly PaintedText[] = [];
  private pointed: number | null = null;

  constructor(root: HTMLElement) {
    const pairs = FIELDS.map((field, index) =>
      pairOf(field, (this.values[index] as PaintedText).root),
    );
    this.figures = element("span", { class: "legend-figures" }, [
      ...pairs,
      this.studies,
      this.change.root,
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
    const token = candle.close >= candle.open ? "--up" : "--down";
    [candle.open, candle.high, candle.low, candle.close].forEach((price, index) =>
      this.values[index]?.show(formatPrice(price, unit), token),
    );
    this.showStudies(figures(candle), token);
    const percent = candle.open === 0 ? 0 : ((candle.close - candle.open) / candle.open) * 100;
    this.change.show(formatPercent(percent), token);
  }

  /** Takes over what changed of the style sheet, the theme or the screen. */
  restyle(): void {
    for (const text of [...this.values, ...this.shownTexts, this.change]) text.restyle();
  }

  /** New figures of the same studies change their texts alone. */
  private showStudies(entries: readonly LegendEntry[], token: string): void {
    const names = (list: readonly LegendEntry[]): string => list.map(({ name }) => name).join(" ");
    if (names(entries) !== names(this.shown)) {
      this.shownTexts = entries.map(() => valueText(SLACK_PX));
      const roots = this.shownTexts.map(({ root }) => root);
      const pairs = roots.map((root, index) => pairOf(entries[index]?.name ?? "", root));
      this.studies.replaceChildren(...pairs);
    }
    entries.forEach(({ text }, index) => this.shownTexts[index]?.show(text, token));
    this.shown = entries;
  }

  private candleOf(state: SeriesState): Candle | undefined {
    const newest = state.forming ?? state.candles.at(-1);
    if (this.pointed === null || this.pointed === state.forming?.candle_time) return newest;
    const found = state.candles[lowerBound(state.candles, this.pointed)];
    return found?.candle_time === this.pointed ? found : newest;
  }
}

function pairOf(name: string, value: HTMLElement): HTMLElement {
  const key = element("span", { class: "legend-key", text: name });
  return element("span", { class: `legend-pair legend-${name}` }, [key, value]);
}

function valueText(slackPx: number): PaintedText {
  return new PaintedText(element("span", { class: "legend-value" }), slackPx);
}
