/** The drawings of the page: binds their session, the user's switches, the panel and the chart. */

import { asApiError } from "./api";
import { NO_DRAWINGS } from "./drawings";
import { FactorPanel } from "./factor-panel";
import {
  switched,
  withDefaults,
  type Choice,
  type Visibility,
  type VisibilityMemory,
} from "./factor-visibility";
import { OverlaySession, type OverlayDependencies, type OverlayStep } from "./overlay-session";
import { buildScene } from "./scene";
import { lastClosedTime, type SeriesState } from "./series-state";
import type { Factor } from "./factor-catalog";
import type { OverlayLayer } from "./overlay-layer";

export interface CatalogReader {
  factorCatalog(): Promise<Factor[]>;
}

export interface OverlaysDependencies extends OverlayDependencies {
  readonly api: OverlayDependencies["api"] & CatalogReader;
}

export interface OverlaysParts {
  readonly panel: HTMLElement;
  readonly layer: Pick<OverlayLayer, "show" | "drawn">;
  readonly memory: VisibilityMemory;
  /** Hears what the session says, after the chart shows it. */
  readonly onStep: (step: OverlayStep) => void;
}

const CATALOG_RETRY_MS = 5_000;
const NOTHING: OverlayStep = { drawings: NO_DRAWINGS, status: "loading" };

export class Overlays {
  private readonly dependencies: OverlaysDependencies;
  private readonly parts: OverlaysParts;
  private readonly panel: FactorPanel;
  private visibility: Visibility;
  private session: OverlaySession | null = null;
  private step: OverlayStep = NOTHING;
  private series: SeriesState | null = null;

  constructor(dependencies: OverlaysDependencies, parts: OverlaysParts) {
    this.dependencies = dependencies;
    this.parts = parts;
    this.visibility = parts.memory.recall();
    this.panel = new FactorPanel(parts.panel, {
      visibility: () => this.visibility,
      choose: (choice) => this.choose(choice),
    });
    void this.readCatalog();
  }

  /** Leaves the series before and draws another one. */
  open(seriesId: string): void {
    this.session?.stop();
    this.series = null;
    this.session = new OverlaySession(seriesId, this.dependencies, (step) => {
      this.step = step;
      this.draw();
    });
    this.session.start();
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

  /** The server wrote its ledger anew. */
  rewritten(): void {
    this.session?.rewritten();
  }

  private draw(): void {
    const { series, step, visibility } = this;
    if (series === null) return;
    const loaded = { ...series, step: series.timeframe.seconds };
    this.parts.layer.show(buildScene(step.drawings, visibility, loaded));
    this.panel.count(this.parts.layer.drawn());
    this.parts.onStep(step);
  }

  private choose(choice: Choice): void {
    this.visibility = switched(this.visibility, choice);
    this.parts.memory.remember(this.visibility);
    this.panel.render();
    this.draw();
  }

  /** Without a catalog there is no panel, and everything is drawn. */
  private async readCatalog(): Promise<void> {
    try {
      const catalog = await this.dependencies.api.factorCatalog();
      this.visibility = withDefaults(this.visibility, catalog);
      this.panel.setCatalog(catalog);
      this.draw();
    } catch (error) {
      if (!asApiError(error).transient) return;
      this.dependencies.clock.setTimeout(() => void this.readCatalog(), CATALOG_RETRY_MS);
    }
  }
}

/** Whether the same times are on the chart: prices of the newest candle move no drawing. */
function sameTimes(left: SeriesState, right: SeriesState): boolean {
  return (
    left.candles === right.candles && left.forming?.candle_time === right.forming?.candle_time
  );
}
