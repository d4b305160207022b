/** One chart: a series with its source of candles, its studies, its legend and its notices. */

import { t } from "../i18n/words";
import { CandleChart } from "./chart";
import { closingText, isFresh } from "./connection-text";
import { KeySteps } from "./key-steps";
import { HeldStep } from "./held-step";
import { spokenCandle } from "./legend";
import { Stage } from "./stage";
import { themeOf } from "./theme";
import { formatOpenTime, type PriceUnit } from "../i18n/format";
import { chosenZone, zoneOfTimeframe, type Zone } from "../i18n/zone";
import { afterPaint } from "../later";
import { describeChart, describeNothing } from "./test-surface";
import { REPLACE } from "trade-canvas-client/chart-change";
import type { CandleSource, OpenSource } from "trade-canvas-client/candle-source";
import type { Candle } from "trade-canvas-client/candle";
import type { Clock } from "trade-canvas-client/ports";
import type { PartialCandle } from "trade-canvas-client/health";
import type { PushedMessage } from "trade-canvas-client/messages";
import type { PriceSteps } from "../sync/price-steps";
import type { SettingsStore } from "../settings/settings";
import type { LegendEntry, Study } from "../studies/study";
import type { SeriesId } from "trade-canvas-client/series-id";
import type { SeriesState, Step } from "trade-canvas-client/series-state";

export interface CellDependencies {
  readonly openSource: OpenSource;
  readonly clock: Clock;
  readonly settings: SettingsStore;
  readonly priceSteps: PriceSteps;
}

export interface CellEvents {
  /** Called after the cell shows a change of its series. */
  changed(step: Step): void;
  /** Data derived from the candles may have been rewritten. */
  rewritten(): void;
  /** The server sent something beside candles. */
  pushed?(message: PushedMessage): void;
  /** The series is subscribed on an open connection, or that was lost. */
  connected?(isConnected: boolean): void;
  /** Prices are written in another way. */
  repriced(): void;
  /** The user chose another series. */
  chosen(seriesId: string): void;
  /** Series to offer instead of one that does not exist. */
  offers(seriesId: string): readonly SeriesId[];
}

export type ChartView = Pick<
  CandleChart,
  "pan" | "zoom" | "zoomToNormal" | "scrollToEnd" | "scrollToStart"
>;

export class ChartCell {
  private readonly dependencies: CellDependencies;
  private readonly events: CellEvents;
  private readonly studies: readonly Study[];
  private readonly root: HTMLElement;
  private readonly stage: Stage;
  private readonly chart: CandleChart;
  /** What keys step through. */
  readonly steps: KeySteps;
  private partial: ReadonlyMap<number, PartialCandle> = new Map();
  private readonly unsubscribe: readonly (() => void)[];
  private chosen: Zone;
  private completed: SeriesId | null = null;
  /** The browser has painted candles. */
  private hasPainted = false;
  private source: CandleSource | null = null;
  /** The first visible candle, UTC seconds. */
  private viewedFrom = Infinity;
  private opened: SeriesId | null = null;
  private readonly held: HeldStep;

  /** Builds the cell inside `root`; `studies` are the cell's own. */
  constructor(
    root: HTMLElement,
    dependencies: CellDependencies,
    studies: readonly Study[],
    events: CellEvents,
  ) {
    this.root = root;
    this.dependencies = dependencies;
    this.held = new HeldStep(dependencies.clock, (step) => this.show(step));
    this.studies = studies;
    this.events = events;
    this.stage = new Stage(root, {
      latest: () => this.chart.scrollToEnd(),
      retried: () => this.source?.retry?.(),
      chosen: (seriesId) => events.chosen(seriesId),
      offers: (seriesId) => events.offers(seriesId),
    });
    this.chosen = chosenZone(dependencies.settings.value.zone);
    this.chart = new CandleChart(this.stage.chart, themeOf(root), {
      viewed: (from) => this.viewed(from),
      nearStart: () => this.source?.loadOlder(),
      pointed: (time) => this.pointed(time),
      atEnd: (atEnd) => this.stage.showAtEnd(atEnd),
    });
    this.each((study) => study.attach(this.chart.host));
    this.steps = new KeySteps({
      cursor: this.chart.cursor,
      studies,
      textOf: (candle) => this.textOf(candle),
      pointed: (time) => this.pointed(time),
      notice: (text) => this.stage.toast.show(text),
    });
    root.append(this.steps.root);
    this.unsubscribe = [
      dependencies.settings.subscribe((now, before) => {
        if (now.zone !== before.zone) this.zoneChosen(now.zone);
      }),
      dependencies.priceSteps.subscribe(() => this.reprice()),
    ];
  }

  get state(): SeriesState | null {
    return this.source?.state ?? null;
  }

  get series(): SeriesId | null {
    return this.opened;
  }

  /** The zone in which times of the series are shown. */
  get zone(): Zone {
    return zoneOfTimeframe(this.opened?.timeframe ?? null, this.chosen);
  }

  /** The element that carries the data attributes for tests. */
  get surface(): HTMLElement {
    return this.stage.chart;
  }

  /** How prices of the series are written. */
  get priceUnit(): PriceUnit {
    return this.chart.priceUnit;
  }

  /** The last price as its label on the axis shows it; null without one. */
  get lastPrice(): string | null {
    return this.chart.shownPrice?.text ?? null;
  }

  /** A price as the labels of the axis and the crosshair show it. */
  axisPrice(price: number): string {
    return this.chart.axisPrice(price);
  }

  /** What moves the view. */
  get view(): ChartView {
    return this.chart;
  }

  /** Draws at once in this size, for print; null follows the root again. */
  setSize(size: { readonly width: number; readonly height: number } | null): void {
    if (size !== null) this.steps.leave();
    this.chart.setSize(size);
  }

  /** Times of the candles on the chart, read back from the library. */
  heldTimes(): number[] {
    return this.chart.heldTimes();
  }

  /** Shows a message while there is no series, and others to open. */
  showNothing(title: string, text: string, offers: readonly SeriesId[] = []): void {
    this.stage.mask.renderNothing(title, text, offers);
    describeNothing(this.stage.chart);
  }

  /** Leaves the current series and opens another one. */
  open(series: SeriesId): void {
    this.source?.stop();
    this.held.clear();
    this.opened = series;
    this.showPartial([]);
    this.completed = null;
    this.viewedFrom = Infinity;
    this.stage.nameSeries(series);
    this.chart.setZone(this.zone);
    this.chart.setPriceStep(this.dependencies.priceSteps.of(series));
    this.source = this.dependencies.openSource(series.text, {
      changed: (step) => this.held.follow(step, () => this.expectsChange()),
      rewritten: (reason) => this.rewritten(reason),
      drawings: () => this.studies.find((study) => study.cursor)?.cursor?.() ?? null,
      pushed: (message) => {
        if (message.type === "health") this.showPartial(message.partial);
        else this.held.release();
        this.each((study) => study.pushed?.(message));
        this.events.pushed?.(message);
      },
      connected: (isConnected) => {
        this.held.release();
        this.each((study) => study.connected?.(isConnected));
        this.events.connected?.(isConnected);
      },
    });
    this.source.start();
  }

  /** The network is back, or the page is visible again. */
  wake(): void {
    this.source?.wake?.();
  }

  /** The server has this closed candle of the series, UTC seconds. */
  headSeen(time: number): void {
    this.source?.headSeen?.(time);
  }

  /** Whether the exchange lists the market as halted or delisted. */
  halted(isHalted: boolean): void {
    this.source?.halted?.(isHalted);
  }

  /** Renders everything that depends on the clock as well as on the state. */
  renderTime(): void {
    const { state } = this;
    if (state === null) return;
    const now = this.dependencies.clock.now();
    this.stage.mask.render(state, now);
    this.stage.notices.render(state, now, this.zone);
    const newest = state.forming ?? state.candles.at(-1) ?? null;
    this.chart.showLast(newest, closingText(state, now), isFresh(state, now));
    this.stage.showBeginning(state, this.viewedFrom, this.zone);
    this.stage.keepOffAxis(this.chart.axisWidth);
    // Again, if a read failed or was overtaken by a revision.
    if (this.chart.isNearStart) this.source?.loadOlder();
  }

  /** Takes over changed colours of the style sheet. */
  restyle(): void {
    const theme = themeOf(this.root);
    this.chart.setTheme(theme);
    this.each((study) => study.restyle(theme));
    this.stage.legend.restyle();
    this.renderTime();
  }

  /** Ends everything and leaves the root empty. */
  close(): void {
    for (const end of this.unsubscribe) end();
    this.held.clear();
    this.source?.stop();
    this.each((study) => study.detach());
    this.chart.remove();
    this.stage.remove();
  }

  /** Whether the server is about to send what a study draws of a candle that just closed. */
  private expectsChange(): boolean {
    return this.studies.some((study) => study.expectsChange?.());
  }

  private show(step: Step): void {
    const { state, change } = step;
    this.chart.apply(state, change);
    this.each((study) => study.apply(state, change));
    if (change.kind !== "none") this.renderLegend(state);
    if (state.candles.length > 0) this.completeSoon();
    this.renderTime();
    describeChart(this.stage.chart, state);
    this.events.changed(step);
  }

  /** Takes over the step of prices, where it became known. */
  private reprice(): void {
    const { opened, state } = this;
    if (opened === null) return;
    const before = this.priceUnit;
    this.chart.setPriceStep(this.dependencies.priceSteps.of(opened));
    if (state === null || this.priceUnit === before) return;
    this.renderLegend(state);
    this.renderTime();
    this.events.repriced();
  }

  private rewritten(reason: string | null): void {
    this.held.release();
    this.each((study) => study.rewritten?.());
    if (reason !== null) this.stage.toast.show(reason);
    this.events.rewritten();
  }

  private viewed(from: number): void {
    this.viewedFrom = from;
    this.each((study) => study.viewed?.(from));
    if (this.state !== null) this.stage.showBeginning(this.state, from, this.zone);
  }

  private pointed(time: number | null): void {
    this.stage.legend.point(time);
    if (this.state !== null) this.renderLegend(this.state);
  }

  /** The first figures come with the frame after the candles: they need the styles of the page. */
  private renderLegend(state: SeriesState): void {
    if (state.candles.length > 0 && !this.hasPainted) return;
    this.stage.legend.render(state, this.chart.priceUnit, (candle) => this.entriesOf(candle));
  }

  private textOf(candle: Candle): string {
    const timeframe = this.opened?.timeframe ?? { seconds: 0 };
    const time = formatOpenTime(candle.candle_time, this.zone, timeframe);
    return spokenCandle(candle, time, this.priceUnit, this.entriesOf(candle));
  }

  private entriesOf(candle: Candle): LegendEntry[] {
    const entries = this.studies.flatMap((study) => study.legend?.(candle) ?? []);
    return [...entries, ...this.partialEntry(candle)];
  }

  /** Marks the candles that lack some of their base. */
  private showPartial(partial: readonly PartialCandle[]): void {
    this.partial = new Map(partial.map((each) => [each.time, each]));
    this.chart.markPartial([...this.partial.keys()]);
    if (this.state !== null) this.renderLegend(this.state);
  }

  private partialEntry({ candle_time }: Candle): LegendEntry[] {
    const found = this.partial.get(candle_time);
    return found ? [{ name: t("Partial"), text: `${found.found}/${found.expected}` }] : [];
  }

  private zoneChosen(setting: string): void {
    this.chosen = chosenZone(setting);
    this.chart.setZone(this.zone);
    this.held.release();
    const { state } = this;
    if (state === null) return;
    this.stage.nameZone(this.zone);
    const empty = { ...state, candles: [], forming: null };
    this.chart.keepingView(() => {
      for (const shown of [empty, state]) {
        this.chart.apply(shown, REPLACE);
        this.each((study) => study.apply(shown, REPLACE));
      }
    });
    this.renderTime();
  }

  /** Once the candles are painted: what they do not wait for. */
  private completeSoon(): void {
    const { opened } = this;
    if (opened === null || opened === this.completed) return;
    this.completed = opened;
    afterPaint(() => {
      if (opened !== this.opened) return;
      this.hasPainted = true;
      if (this.state !== null) this.renderLegend(this.state);
      this.each((study) => study.painted?.());
      this.dependencies.priceSteps.want(opened);
      this.stage.nameZone(this.zone);
    });
  }

  private each(act: (study: Study) => void): void {
    for (const study of this.studies) act(study);
  }
}
