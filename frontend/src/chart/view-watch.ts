/** Reports which candles are in view, once it rests. */

import type { ITimeScaleApi, Time } from "lightweight-charts";

export interface ViewEvents {
  /** The user is close to the first candle. */
  nearStart(): void;
  /** The view stopped moving; its first candle has this time, UTC seconds. */
  viewed(from: number): void;
  /** The newest candle came into view or left it. */
  atEnd(atEnd: boolean): void;
}

type Scale = Pick<
  ITimeScaleApi<Time>,
  "getVisibleLogicalRange" | "scrollPosition" | "subscribeVisibleLogicalRangeChange"
>;

const EDGE_CANDLES = 40;
const REST_MS = 150;
/** How far the view follows new candles before that counts as a move. */
const FOLLOWED_CANDLES = 20;

export class ViewWatch {
  private readonly scale: Scale;
  private readonly timeFrom: (index: number) => number | null;
  private readonly events: ViewEvents;
  private timer = 0;
  /** The position of the first visible candle when the view rested last. */
  private restedFrom = Infinity;

  /** `timeFrom` gives the time of the first candle at or after a position. */
  constructor(scale: Scale, timeFrom: (index: number) => number | null, events: ViewEvents) {
    this.scale = scale;
    this.timeFrom = timeFrom;
    this.events = events;
    scale.subscribeVisibleLogicalRangeChange(() => this.moved());
  }

  /** Whether the view is close to the first candle. */
  get isNearStart(): boolean {
    const range = this.scale.getVisibleLogicalRange();
    return range !== null && range.from < EDGE_CANDLES;
  }

  /** Positions changed: the next move counts, wherever it goes. */
  forget(): void {
    this.restedFrom = Infinity;
  }

  end(): void {
    window.clearTimeout(this.timer);
  }

  private moved(): void {
    const range = this.scale.getVisibleLogicalRange();
    if (range === null) return;
    this.events.atEnd(this.scale.scrollPosition() > -3);
    const { restedFrom } = this;
    const follows = range.from >= restedFrom && range.from < restedFrom + FOLLOWED_CANDLES;
    // With each new candle: what is in view is no older than before.
    if (follows && restedFrom >= EDGE_CANDLES) return;
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.rested(), REST_MS);
  }

  private rested(): void {
    const from = this.scale.getVisibleLogicalRange()?.from ?? Infinity;
    this.restedFrom = from;
    const first = this.timeFrom(Math.floor(from));
    if (first !== null) this.events.viewed(first);
    if (from < EDGE_CANDLES) this.events.nearStart();
  }
}
