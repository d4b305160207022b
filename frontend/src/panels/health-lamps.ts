/** The lamps of a series, and the health behind them: as the server sends it, or polled. */

import { HealthWatch, type HealthWatchDependencies, type Reading } from "../sync/health-watch";
import { candleLamp, derivedLamp, drawingLamp, factorLamp, type DrawingsState, type Lamp } from "./lamps";
import type { Zone } from "../i18n/zone";
import { withCandlesUpTo, type CandleHealth, type FactorHealth } from "trade-canvas-client/health";
import type { PushedMessage } from "trade-canvas-client/messages";
import type { OlderStatus } from "../drawings/older-drawings";
import type { OverlayStatus } from "../drawings/overlay-session";

export interface HealthReader {
  candleHealth(seriesId: string, signal: AbortSignal): Promise<CandleHealth>;
  factorHealth(seriesId: string, signal: AbortSignal): Promise<FactorHealth>;
}

export interface HealthLampsDependencies extends HealthWatchDependencies {
  readonly api: HealthReader;
  /** The zone in which times are shown. */
  readonly zone: () => Zone;
  /** Called with the newest closed candle that the server has, UTC seconds. */
  readonly headSeen: (time: number) => void;
  /** Called with whether the exchange lists the market as halted or delisted. */
  readonly halted: (isHalted: boolean) => void;
}

/** Null where the server has nothing of the kind. */
export interface Lamps {
  readonly candles: Lamp;
  /** Null for a series that is not made of another one. */
  readonly derived: Lamp | null;
  readonly factors: Lamp | null;
  readonly drawings: Lamp | null;
}

interface Watches {
  readonly candles: HealthWatch<CandleHealth>;
  readonly factors: HealthWatch<FactorHealth>;
}

export type PushedHealth = Extract<PushedMessage, { type: "health" }>;

type Drawn = Omit<DrawingsState, "reading">;

const UNDRAWN: Drawn = { status: "loading", older: "complete" };

export class HealthLamps {
  private readonly dependencies: HealthLampsDependencies;
  private readonly changed: () => void;
  private watches: Watches | null = null;
  private seen = false;
  private drawn = UNDRAWN;
  private candles: Reading<CandleHealth> = null;
  /** The newest closed candle on the chart, UTC seconds. */
  private closed: number | null = null;
  private factors: Reading<FactorHealth> = null;
  private isPushed = false;

  /** `changed` is called with every reading, every closed candle and every change of the drawings. */
  constructor(dependencies: HealthLampsDependencies, changed: () => void) {
    this.dependencies = dependencies;
    this.changed = changed;
  }

  /** The lamps as they are now; their texts are made anew. */
  get lamps(): Lamps {
    const zone = this.dependencies.zone();
    const factors = this.agreedFactors();
    return {
      candles: candleLamp(this.agreedCandles(), zone),
      derived: derivedLamp(this.candles, zone),
      factors: factorLamp(factors, zone),
      drawings: drawingLamp({ ...this.drawn, reading: factors }, zone),
    };
  }

  /** Leaves the previous series and shows the health of another one. */
  open(seriesId: string): void {
    this.each((watch) => watch.stop());
    const { api } = this.dependencies;
    this.watches = {
      candles: new HealthWatch(
        (signal) => api.candleHealth(seriesId, signal),
        this.dependencies,
        (reading) => this.candlesRead(reading),
      ),
      factors: new HealthWatch(
        (signal) => api.factorHealth(seriesId, signal),
        this.dependencies,
        (reading) => {
          this.factors = reading;
          this.changed();
        },
      ),
    };
    this.candles = null;
    this.closed = null;
    this.factors = null;
    this.drawn = UNDRAWN;
    this.isPushed = false;
    this.changed();
    this.each((watch) => watch.hold());
    this.attend(this.seen);
  }

  /** Sets whether the page is visible. */
  attend(seen: boolean): void {
    this.seen = seen;
    this.each((watch) => watch.attend(seen));
  }

  /** The chart has another newest closed candle, UTC seconds; null without one. */
  candleClosed(time: number | null): void {
    this.closed = time;
    this.changed();
    this.each((watch) => watch.hint());
  }

  /** The connection was opened or lost. */
  connected(isConnected: boolean): void {
    this.isPushed = false;
    this.each((watch) => watch.connected(isConnected));
  }

  /** The server sent the health of the series. */
  pushed({ candles, factors }: PushedHealth): void {
    this.isPushed = true;
    if (candles === null) this.watches?.candles.unreported();
    else this.watches?.candles.pushed(candles);
    if (factors === null) this.watches?.factors.unreported();
    else this.watches?.factors.pushed(factors);
  }

  /** Candles or drawings are missing, or were rewritten. */
  disturbed(): void {
    this.each((watch) => watch.nudge());
  }

  /** Sets the status of the drawings on the page. */
  show(status: OverlayStatus, older: OlderStatus): void {
    this.drawn = { status, older };
    this.changed();
  }

  private candlesRead(reading: Reading<CandleHealth>): void {
    this.candles = reading;
    this.changed();
    if (reading === null || "error" in reading) return;
    const { headTime, isHalted } = reading.health;
    this.dependencies.halted(isHalted);
    if (headTime !== null) this.dependencies.headSeen(headTime);
  }

  /** While all is well the server sends nothing: its ledgers are as new as the chart. */
  private agreedFactors(): Reading<FactorHealth> {
    const { factors, closed, isPushed } = this;
    if (!isPushed || closed === null || factors === null || "error" in factors) return factors;
    if (factors.health.status !== "green") return factors;
    const head = Math.max(factors.health.storeHead ?? closed, closed);
    const heads = { storeHead: head, factorHead: head, overlayHead: head };
    return { health: { ...factors.health, ...heads } };
  }

  /** What the server reported, and what arrived on the chart since. */
  private agreedCandles(): Reading<CandleHealth> {
    const { candles, closed } = this;
    if (candles === null || "error" in candles) return candles;
    return { health: withCandlesUpTo(candles.health, closed) };
  }

  private each(act: (watch: Watches[keyof Watches]) => void): void {
    if (this.watches === null) return;
    act(this.watches.candles);
    act(this.watches.factors);
  }
}
