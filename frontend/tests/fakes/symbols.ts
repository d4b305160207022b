/** A server's search of symbols, with answers of the test. */

import type { PriceStep } from "../../src/i18n/format";
import type {
  FoundSymbol,
  Listing,
  ListingState,
  SymbolPage,
  SymbolQuery,
  SymbolReader,
} from "../../src/sync/symbols";

export const NO_STEP: PriceStep = { tick: null, digits: null };

/** A symbol of `sim`'s spot market, or of what `place` names. */
export function found(symbol: string, place: Partial<FoundSymbol> = {}): FoundSymbol {
  const base = { exchange: "sim", market: "spot", symbol, active: true, step: NO_STEP };
  return { ...base, whitelisted: [], matched: [], ...place };
}

export function listing(state: ListingState, place: Partial<Listing> = {}): Listing {
  return { exchange: "sim", market: "spot", timeframes: null, ...place, state };
}

export function page(items: readonly FoundSymbol[], more: Partial<SymbolPage> = {}): SymbolPage {
  return { items, total: items.length, nextCursor: null, listings: [listing("current")], ...more };
}

export class FakeSymbols implements SymbolReader {
  readonly asked: SymbolQuery[] = [];
  readonly aborted: SymbolQuery[] = [];
  /** What is answered: a page, or an error to throw. */
  answer: (query: SymbolQuery) => SymbolPage | Error | Promise<SymbolPage> = () => page([]);

  async symbols(query: SymbolQuery, signal?: AbortSignal): Promise<SymbolPage> {
    this.asked.push(query);
    signal?.addEventListener("abort", () => this.aborted.push(query));
    const answer = await this.answer(query);
    if (answer instanceof Error) throw answer;
    return answer;
  }
}
