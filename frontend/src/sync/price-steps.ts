/** The steps of the prices of symbols: learnt from answers, asked for where none had them. */

import { asApiError } from "trade-canvas-client/http";
import { instrumentOf, type Instrument } from "trade-canvas-client/series-id";
import { Timers } from "trade-canvas-client/timers";
import type { PriceStep } from "../i18n/format";
import type { Clock } from "trade-canvas-client/ports";
import type { FoundSymbol, Listing, SymbolReader } from "./symbols";

export interface PriceStepsDependencies {
  readonly api: SymbolReader;
  readonly clock: Clock;
  /** Whether nobody sees the page, so that an answer can wait. */
  readonly isHidden?: () => boolean;
}

/** While the server still reads the listing of the exchange, or does not answer. */
export const AGAIN_MS = 3_000;
export const ATTEMPTS = 10;
const MOST_KEPT = 5_000;

export class PriceSteps {
  private readonly dependencies: PriceStepsDependencies;
  private readonly timers: Timers<string>;
  private readonly known = new Map<string, PriceStep>();
  private readonly asked = new Set<string>();
  private readonly listeners = new Set<() => void>();

  constructor(dependencies: PriceStepsDependencies) {
    this.dependencies = dependencies;
    this.timers = new Timers(dependencies.clock);
  }

  /** The step of a symbol; null until it is known. */
  of(instrument: Instrument): PriceStep | null {
    return this.known.get(instrumentOf(instrument)) ?? null;
  }

  /** Takes over what an answer has of symbols. */
  learn(answered: readonly (Instrument & { readonly step: PriceStep })[]): void {
    const news = answered.filter(({ step, ...instrument }) => {
      const before = this.known.get(instrumentOf(instrument));
      const isKnown = step.tick !== null || step.digits !== null;
      return isKnown && (before?.tick !== step.tick || before.digits !== step.digits);
    });
    if (news.length === 0) return;
    if (this.known.size + news.length > MOST_KEPT) this.known.clear();
    for (const { step, ...instrument } of news) this.known.set(instrumentOf(instrument), step);
    for (const listener of this.listeners) listener();
  }

  /** Asks the server for the step of a symbol, unless it is known or asked for. */
  want(instrument: Instrument): void {
    const name = instrumentOf(instrument);
    if (this.known.has(name) || this.asked.has(name)) return;
    this.asked.add(name);
    void this.ask(instrument, 1);
  }

  /** Calls `listener` when steps become known; returns the function that ends it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private async ask(instrument: Instrument, attempt: number): Promise<void> {
    const name = instrumentOf(instrument);
    let again: boolean;
    try {
      // Not with `exchange`, which is refused for one that is not served.
      const { items, listings } = await this.dependencies.api.symbols({ query: name, limit: 1 });
      const found = items.find((item: FoundSymbol) => instrumentOf(item) === name);
      if (found !== undefined) this.learn([found]);
      again = !this.known.has(name) && listings.some((each) => isReading(each, instrument));
    } catch (error) {
      again = asApiError(error).transient;
    }
    if (!again || attempt >= ATTEMPTS) return;
    this.askAgain(instrument, attempt);
  }

  private askAgain(instrument: Instrument, attempt: number): void {
    this.timers.arm(instrumentOf(instrument), AGAIN_MS * attempt, () => {
      if (this.dependencies.isHidden?.() === true) this.askAgain(instrument, attempt);
      else void this.ask(instrument, attempt + 1);
    });
  }
}

function isReading({ exchange, market, state }: Listing, instrument: Instrument): boolean {
  return exchange === instrument.exchange && market === instrument.market && state === "reading";
}
