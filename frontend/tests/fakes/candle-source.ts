/** A source of candles that the test drives; it has neither history nor a connection. */

import { initialState, reduce, type Action, type SeriesState } from "trade-canvas-client/series-state";
import type { PushedMessage } from "trade-canvas-client/messages";
import type { CandleSource, SourceEvents } from "trade-canvas-client/candle-source";

export class FakeSource implements CandleSource {
  state: SeriesState;
  started = false;
  stopped = false;
  private readonly events: SourceEvents;

  constructor(seriesId: string, events: SourceEvents) {
    this.state = initialState(seriesId);
    this.events = events;
  }

  start(): void {
    this.started = true;
  }

  stop(): void {
    this.stopped = true;
  }

  loadOlder(): void {}

  act(action: Action): void {
    const step = reduce(this.state, action);
    this.state = step.state;
    this.events.changed(step, action);
  }

  push(message: PushedMessage): void {
    this.events.pushed?.(message);
  }

  rewrite(reason: string | null): void {
    this.events.rewritten(reason);
  }
}
