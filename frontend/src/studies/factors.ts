/** The drawings of all factors: connects their reads, the user's switches and the chart. */

import {
  activeDrawings,
  areSame,
  DRAWN_CANDLES,
  NO_DRAWINGS,
  type Drawing,
} from "../drawings/drawings";
import { joined, NO_OLDER, OlderDrawings, type OlderStep } from "../drawings/older-drawings";
import { inkOn } from "../drawings/ink";
import { Looks, NO_LOOKS } from "../drawings/look";
import { OverlayLayer } from "../drawings/overlay-layer";
import {
  OverlaySession,
  type OverlayDependencies,
  type OverlayStep,
} from "../drawings/overlay-session";
import { SceneBuilder } from "../drawings/scene-builder";
import { lastClosedTime, type SeriesState } from "trade-canvas-client/series-state";
import { Timers } from "trade-canvas-client/timers";
import type { Candle } from "trade-canvas-client/candle";
import type { ChartTheme } from "../chart/theme";
import type { PushedMessage } from "trade-canvas-client/messages";
import type { OlderReader } from "../sync/readers";
import type { Palette } from "../drawings/drawing-primitive";
import { looksOf, type Factor } from "./factor-catalog";
import type { FeatureSwitches } from "./feature-switches";
import type { Study, StudyHost } from "./study";

export interface FactorDependencies extends OverlayDependencies {
  readonly api: OverlayDependencies["api"] & OlderReader;
}

/** What a study shows its drawings on. */
export type Layer = Pick<
  OverlayLayer,
  "show" | "drawn" | "held" | "scene" | "restyle" | "remove" | "stepDrawing" | "leaveDrawings"
>;

export interface FactorEvents {
  /** Called after the chart shows a change. */
  drawn(step: OverlayStep, older: OlderStep, layer: Layer): void;
}

/** A candle at the end moves no drawing, and its own drawings follow it within moments. */
const SOON_MS = 100;

interface Listed {
  readonly step: OverlayStep;
  readonly older: OlderStep;
  readonly looks: Looks;
  readonly list: readonly Drawing[];
}

const NOTHING: OverlayStep = { drawings: NO_DRAWINGS, status: "loading" };

export class FactorStudy implements Study {
  private readonly dependencies: FactorDependencies;
  private readonly switches: FeatureSwitches;
  private readonly events: FactorEvents;
  private readonly unsubscribe: () => void;
  private readonly timers: Timers<"draw">;
  private readonly scenes = new SceneBuilder();
  private layer: Layer | null = null;
  private session: OverlaySession | null = null;
  private step: OverlayStep = NOTHING;
  private olderSession: OlderDrawings | null = null;
  private older: OlderStep = NO_OLDER;
  /** The first visible candle, UTC seconds. */
  private viewedFrom = Infinity;
  private series: SeriesState | null = null;
  /** The candles come first: drawings are read once those are painted. */
  private mayRead = false;
  private declared: readonly Factor[] = [];
  private looks: Looks = NO_LOOKS;
  /** The drawings as they were listed last, and of what. */
  private listed: Listed = { step: NOTHING, older: NO_OLDER, looks: NO_LOOKS, list: [] };

  constructor(dependencies: FactorDependencies, switches: FeatureSwitches, events: FactorEvents) {
    this.dependencies = dependencies;
    this.timers = new Timers(dependencies.clock);
    this.switches = switches;
    this.events = events;
    this.declared = switches.features;
    this.looks = new Looks(looksOf(this.declared));
    this.unsubscribe = switches.subscribe(() => this.switched());
  }

  attach({ chart, prices, theme }: StudyHost): void {
    this.show(new OverlayLayer(chart, prices, paletteOf(theme)));
  }

  /** Draws on this layer from now on. */
  show(layer: Layer): void {
    this.layer = layer;
  }

  apply(state: SeriesState): void {
    if (state.seriesId !== this.series?.seriesId) this.open(state);
    const before = this.series;
    this.series = state;
    const last = lastClosedTime(state);
    const closed = last !== (before && lastClosedTime(before));
    if (closed && last !== null && this.mayRead) this.session?.candleClosed(last);
    if (before !== null && sameTimes(before, state)) return;
    if (before === null || !isAppended(before.candles, state.candles)) this.draw();
    // What the server is about to send of the candle draws it.
    else if (!(closed && this.expectsChange()) && !this.timers.isArmed("draw")) {
      this.timers.arm("draw", SOON_MS, () => this.draw());
    }
  }

  painted(): void {
    this.mayRead = true;
    const last = this.series && lastClosedTime(this.series);
    if (last !== null) this.session?.candleClosed(last);
  }

  viewed(from: number): void {
    this.viewedFrom = from;
    this.readOlder();
  }

  cursor(): number {
    return this.step.drawings.cursor;
  }

  stepDrawing(by: 1 | -1): boolean {
    return this.layer?.stepDrawing(by) ?? false;
  }

  leaveDrawings(): boolean {
    return this.layer?.leaveDrawings() ?? false;
  }

  expectsChange(): boolean {
    return this.session?.expectsChange ?? false;
  }

  pushed(message: PushedMessage): void {
    this.session?.pushed(message);
  }

  connected(isConnected: boolean): void {
    this.session?.connected(isConnected);
  }

  rewritten(): void {
    this.session?.rewritten();
    this.olderSession?.rewritten();
  }

  restyle(theme: ChartTheme): void {
    this.layer?.restyle(paletteOf(theme));
  }

  detach(): void {
    this.stop();
    this.unsubscribe();
    this.layer?.remove();
    this.layer = null;
  }

  /** Leaves the previous series and reads the drawings of another one. */
  private open({ seriesId: id, timeframe }: SeriesState): void {
    this.stop();
    this.leaveDrawings();
    this.series = null;
    this.mayRead = false;
    this.older = NO_OLDER;
    this.step = NOTHING;
    this.viewedFrom = Infinity;
    this.session = new OverlaySession(id, this.dependencies, (step) => {
      this.step = step;
      this.draw();
      this.readOlder();
    });
    const series = { id, step: timeframe.seconds };
    const looks = (): Looks => this.looks;
    this.olderSession = new OlderDrawings(series, this.dependencies, looks, (older) => {
      this.older = older;
      this.draw();
    });
    this.session.start();
  }

  private stop(): void {
    this.timers.clearAll();
    this.session?.stop();
    this.olderSession?.stop();
  }

  private switched(): void {
    const { features } = this.switches;
    if (features !== this.declared) {
      this.declared = features;
      this.looks = new Looks(looksOf(features));
      this.olderSession?.relook();
    }
    this.draw();
  }

  private draw(): void {
    this.timers.clear("draw");
    const { series, step, layer, looks } = this;
    // Nothing is drawn before it is known how it looks.
    if (series === null || layer === null || !this.switches.isSettled) return;
    const loaded = { ...series, step: series.timeframe.seconds };
    const scene = this.scenes.build(this.drawings(), this.switches.visibility(), loaded, looks);
    layer.show(scene, looks, (series.forming ?? series.candles.at(-1))?.close ?? 0);
    this.events.drawn(step, this.older, layer);
  }

  /** The same list as before where no drawing changed: it is then not gone through again. */
  private drawings(): readonly Drawing[] {
    const { step, older, looks, listed } = this;
    const stays = areSame(step.drawings, listed.step.drawings);
    if (stays && older.drawings === listed.older.drawings && looks === listed.looks) return listed.list;
    const live = activeDrawings(step.drawings);
    const list = older.drawings.length === 0 ? live : joined([live, older.drawings], looks);
    this.listed = { step, older, looks, list };
    return list;
  }

  /** Requests the visible drawings that are older than the live ones. */
  private readOlder(): void {
    const { series, step, viewedFrom: from } = this;
    const first = series?.candles[0]?.candle_time;
    const { toTime } = step.drawings;
    if (first === undefined || toTime === null || series === null) return;
    const liveFrom = toTime - DRAWN_CANDLES * series.timeframe.seconds;
    this.olderSession?.look({ from, first, liveFrom });
  }
}

function paletteOf({ background, text, inks, font }: ChartTheme): Palette {
  return { ink: inkOn(background, text, inks), background, font };
}

/** Whether every candle is where it was: drawings keep their places. */
function isAppended(before: readonly Candle[], after: readonly Candle[]): boolean {
  const last = before.length - 1;
  const stays = (index: number): boolean => before[index]?.candle_time === after[index]?.candle_time;
  return stays(0) && stays(last);
}

/** Whether the candle times are unchanged: a new price alone moves no drawing. */
function sameTimes(left: SeriesState, right: SeriesState): boolean {
  return (
    left.candles === right.candles && left.forming?.candle_time === right.forming?.candle_time
  );
}
