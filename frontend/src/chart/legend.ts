/** Prices and the figures of studies of the candle under the crosshair, else of the newest one. */

import { lowerBound } from "trade-canvas-client/candle-list";
import { element, setHidden, setText } from "../dom";
import { placeName, t } from "../i18n/words";
import { formatPercent, formatPrice, type PriceUnit } from "../i18n/format";
import { PaintedTexts, PRICE_SLACK_PX, type PaintedText } from "../painted-text";
import { displaySymbol, parseSeriesId } from "trade-canvas-client/series-id";
import type { Candle } from "trade-canvas-client/candle";
import type { SeriesState } from "trade-canvas-client/series-state";
import type { LegendEntry } from "../studies/study";

/** Room for figures of other lengths, which would move those behind them, pixels. */
const SLACK_PX = 24;
const FIELDS = ["O", "H", "L", "C"] as const;

export class Legend {
  private readonly name = element("span", { class: "legend-name" });
  private readonly studies = element("span", { class: "legend-studies" });
  private readonly figures = element("span", { class: "legend-figures" });
  private readonly painted = new PaintedTexts(this.figures);
  private readonly values: readonly PaintedText[];
  private readonly change: PaintedText;
  private readonly root: HTMLElement;
  private named = "";
  private shown: readonly LegendEntry[] = [];
  private shownTexts: readonly PaintedText[] = [];
  private pointed: number | null = null;

  constructor(root: HTMLElement) {
    this.values = FIELDS.map((field) => this.valueIn(pairOf(field, this.figures), PRICE_SLACK_PX));
    this.figures.append(this.studies);
    this.change = this.valueIn(this.figures, SLACK_PX);
    this.root = root;
    root.hidden = true;
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
      const series = parseSeriesId(state.seriesId);
      const symbol = displaySymbol(series.symbol);
      setText(this.name, `${symbol} · ${series.timeframe.text} · ${placeName(series)}`);
      this.named = state.seriesId;
      setHidden(this.root, false);
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
    this.painted.restyle();
  }

  /** New figures of the same studies change their texts alone. */
  private showStudies(entries: readonly LegendEntry[], token: string): void {
    const { shown } = this;
    const stay = entries.every(({ name }, index) => name === shown[index]?.name);
    if (!stay || entries.length !== shown.length) {
      this.painted.remove(this.shownTexts);
      this.studies.replaceChildren();
      this.shownTexts = entries.map(({ name }) =>
        this.valueIn(pairOf(name, this.studies), SLACK_PX),
      );
    }
    entries.forEach(({ text }, index) => this.shownTexts[index]?.show(text, token));
    this.shown = entries;
  }

  private valueIn(parent: HTMLElement, slackPx: number): PaintedText {
    const value = element("span", { class: "legend-value" });
    parent.append(value);
    return this.painted.add(value, slackPx);
  }

  private candleOf(state: SeriesState): Candle | undefined {
    const newest = state.forming ?? state.candles.at(-1);
    if (this.pointed === null || this.pointed === state.forming?.candle_time) return newest;
    const found = state.candles[lowerBound(state.candles, this.pointed)];
    return found?.candle_time === this.pointed ? found : newest;
  }
}

/** A candle in words, for screen readers; `time` is when it opens. */
export function spokenCandle(
  { open, high, low, close }: Candle,
  time: string,
  unit: PriceUnit,
  entries: readonly LegendEntry[],
): string {
  const price = (value: number): string => formatPrice(value, unit);
  const prices = { open: price(open), high: price(high), low: price(low), close: price(close) };
  const figures = entries.map(({ name, text }) => `${name} ${text}`);
  const words = [time, t("open {open}, high {high}, low {low}, close {close}", prices), ...figures];
  return words.join(", ");
}

/** Adds the name of a figure to a parent; returns the pair, which has room for the figure. */
function pairOf(name: string, parent: HTMLElement): HTMLElement {
  const key = element("span", { class: "legend-key", text: name });
  const pair = element("span", { class: `legend-pair legend-${name}` }, [key]);
  parent.append(pair);
  return pair;
}
