/** The page's drawings: connects their sessions, the user's switches, the panel and the chart. */

import { asApiError } from "../sync/api";
import { BackOff } from "../sync/back-off";
import { activeDrawings, DRAWN_CANDLES, NO_DRAWINGS, type Drawing } from "./drawings";
import { FactorPanel } from "../panels/factor-panel";
import {
  switched,
  withDefaults,
  type Choice,
  type Visibility,
  type VisibilityMemory,
} from "../studies/factor-visibility";
import { joined, NO_OLDER, OlderDrawings, type OlderStep } from "./older-drawings";
import { OverlaySession, type OverlayDependencies, type OverlayStep } from "./overlay-session";
import { buildScene } from "./scene";
import { lastClosedTime, type SeriesState } from "../sync/series-state";
import type { Factor } from "../studies/factor-catalog";
import type { OverlayLayer } from "./overlay-layer";
import type { OlderReader } from "../sync/readers";
import type { SeriesId } from "../sync/series-id";

export interface CatalogReader {
  factorCatalog(): Promise<Factor[]>;
}

export interface OverlaysDependencies extends OverlayDependencies {
  readonly api: OverlayDependencies["api"] & OlderReader & CatalogReader;
}

export interface OverlaysParts {
  readonly panel: HTMLElement;
  readonly layer: Pick<OverlayLayer, "show" | "drawn">;
  readonly memory: VisibilityMemory;
  /** Called after the chart shows a change. */
  readonly onStep: (step: OverlayStep, older: OlderStep) => void;
}

const NOTHING: OverlayStep = { drawings: NO_DRAWINGS, status: "loading" };

export class Overlays {
  private readonly dependencies: OverlaysDependencies;
  private readonly parts: OverlaysParts;
  private readonly panel: FactorPanel;
  private readonly catalogBackOff: BackOff;
  private visibility: Visibility;
  private session: OverlaySession | null = null;
  private step: OverlayStep = NOTHING;
  private olderSession: OlderDrawings | null = null;
  private older: OlderStep = NO_OLDER;
  /** The first visible candle, UTC seconds. */
  private viewedFrom = Infinity;
  private series: SeriesState | null = null;

  constructor(dependencies: OverlaysDependencies, parts: OverlaysParts) {
    this.dependencies = dependencies;
    this.parts = parts;
    this.visibility = parts.memory.recall();
    this.panel = new FactorPanel(parts.panel, {
      visibility: () => this.visibility,
      choose: (choice) => this.choose(choice),
    });
    this.catalogBackOff = new BackOff(2_000, 60_000, dependencies.random);
    void this.readCatalog();
  }

  /** Leaves the previous series and draws another one. */
  open({ text: id, timeframe }: SeriesId): void {
    this.session?.stop();
    this.olderSession?.stop();
    this.series = null;
    this.older = NO_OLDER;
    this.viewedFrom = Infinity;
    this.session = new OverlaySession(id, this.dependencies, (step) => {
      this.step = step;
      this.draw();
      this.look();
    });
    const series = { id, step: timeframe.seconds };
    this.olderSession = new OlderDrawings(series, this.dependencies, (older) => {
      this.older = older;
      this.draw();
    });
    this.session.start();
  }

  /** Sets the time of the first visible candle, UTC seconds. */
  viewed(time: number): void {
    this.viewedFrom = time;
    this.look();
  }

  /** The candles on the chart changed. */
  follow(series: SeriesState): void {
    const before = this.series;
    this.series = series;
    const last = lastClosedTime(series);
    const closed = last !== (before && lastClosedTime(before));
    if (closed && last !== null) this.session?.candleClosed(last);
    if (before === null || !sameTimes(before, series)) this.draw();
  }

  /** The server rewrote its ledger. */
  rewritten(): void {
    this.session?.rewritten();
    this.olderSession?.rewritten();
  }

  private draw(): void {
    const { series, step, visibility } = this;
    if (series === null) return;
    const loaded = { ...series, step: series.timeframe.seconds };
    this.parts.layer.show(buildScene(this.drawings(), visibility, loaded));
    this.panel.count(this.parts.layer.drawn());
    this.parts.onStep(step, this.older);
  }

  private drawings(): readonly Drawing[] {
    const live = activeDrawings(this.step.drawings);
    return this.older.drawings.length === 0 ? live : joined([live, this.older.drawings]);
  }

  /** Requests the visible drawings that are older than the live ones. */
  private look(): void {
    const { series, step, viewedFrom: from } = this;
    const first = series?.candles[0]?.candle_time;
    const { toTime } = step.drawings;
    if (first === undefined || toTime === null || series === null) return;
    const liveFrom = toTime - DRAWN_CANDLES * series.timeframe.seconds;
    this.olderSession?.look({ from, first, liveFrom });
  }

  private choose(choice: Choice): void {
    this.visibility = switched(this.visibility, choice);
    this.parts.memory.remember(this.visibility);
    this.panel.render();
    this.draw();
  }

  /** Reads the catalog; without it there is no panel, and everything is drawn. */
  private async readCatalog(): Promise<void> {
    try {
      const catalog = await this.dependencies.api.factorCatalog();
      this.visibility = withDefaults(this.visibility, catalog);
      this.panel.setCatalog(catalog);
      this.draw();
    } catch (error) {
      if (!asApiError(error).transient) return;
      this.dependencies.clock.setTimeout(() => void this.readCatalog(), this.catalogBackOff.next());
    }
  }
}

/** Whether the candle times are unchanged: a new price alone moves no drawing. */
function sameTimes(left: SeriesState, right: SeriesState): boolean {
  return (
    left.candles === right.candles && left.forming?.candle_time === right.forming?.candle_time
  );
}
