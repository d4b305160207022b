/** The server's search while a user types: one request at a time, and further pages. */

import { Timers } from "trade-canvas-client/timers";
import type { Clock } from "trade-canvas-client/ports";
import type { FoundSymbol, Listing, SymbolReader } from "../sync/symbols";

export interface SearchDependencies {
  readonly api: SymbolReader;
  readonly clock: Clock;
}

/** `loading`: what is shown is of an earlier query, or nothing. */
export type SearchStatus = "idle" | "loading" | "ready" | "failed";

export const PAUSE_MS = 120;
/** While the server still reads listings, their symbols may arrive any moment. */
export const AGAIN_MS = 1_500;
const MOST_AGAIN = 20;
const PAGE = 40;
/** The most that the server gives in one answer. */
const MOST_AT_ONCE = 100;

export class SymbolSearch {
  private readonly dependencies: SearchDependencies;
  private readonly changed: () => void;
  private readonly timers: Timers<"pause" | "again">;
  private request: AbortController | null = null;
  private query = "";
  private market: string | null = null;
  private cursor: string | null = null;
  private repeats = 0;
  status: SearchStatus = "idle";
  items: readonly FoundSymbol[] = [];
  total = 0;
  listings: readonly Listing[] = [];

  constructor(dependencies: SearchDependencies, changed: () => void) {
    this.dependencies = dependencies;
    this.changed = changed;
    this.timers = new Timers(dependencies.clock);
  }

  get hasMore(): boolean {
    return this.cursor !== null;
  }

  /** Searches for a text after a pause in typing, in one market if given; an empty one ends it. */
  seek(query: string, market: string | null): void {
    const text = query.trim();
    if (text === this.query && market === this.market && this.status !== "failed") return;
    this.stop();
    [this.query, this.market, this.repeats] = [text, market, 0];
    this.status = text === "" ? "idle" : "loading";
    if (text === "") [this.items, this.total, this.cursor] = [[], 0, null];
    else this.timers.arm("pause", PAUSE_MS, () => void this.ask(PAGE));
    this.changed();
  }

  /** Reads the next page, unless a request is under way. */
  more(): void {
    if (this.status !== "ready" || this.cursor === null || this.request !== null) return;
    void this.ask(PAGE, this.cursor);
  }

  /** Searches again after a failure. */
  retry(): void {
    if (this.status !== "failed") return;
    this.status = "loading";
    void this.ask(PAGE);
    this.changed();
  }

  private stop(): void {
    this.timers.clearAll();
    this.request?.abort();
    this.request = null;
  }

  private async ask(limit: number, cursor?: string): Promise<void> {
    this.stop();
    const request = new AbortController();
    this.request = request;
    const { query, market } = this;
    const asked = {
      query,
      limit,
      ...(market === null ? {} : { market }),
      ...(cursor === undefined ? {} : { cursor }),
    };
    try {
      const page = await this.dependencies.api.symbols(asked, request.signal);
      if (request.signal.aborted) return;
      // A symbol whose place changed meanwhile may be on both pages.
      const shown = cursor === undefined ? [] : this.items;
      const ids = new Set(shown.map(nameOf));
      this.items = [...shown, ...page.items.filter((item) => !ids.has(nameOf(item)))];
      [this.total, this.cursor, this.listings] = [page.total, page.nextCursor, page.listings];
      this.status = "ready";
    } catch {
      if (request.signal.aborted) return;
      this.status = "failed";
    }
    this.request = null;
    this.askAgain();
    this.changed();
  }

  private askAgain(): void {
    const reads = this.listings.some(({ state }) => state === "reading");
    if (this.status !== "ready" || !reads || this.repeats >= MOST_AGAIN) return;
    this.repeats += 1;
    const limit = Math.min(MOST_AT_ONCE, Math.max(PAGE, this.items.length));
    this.timers.arm("again", AGAIN_MS, () => void this.ask(limit));
  }
}

function nameOf({ exchange, market, symbol }: FoundSymbol): string {
  return [exchange, market, symbol].join(":");
}
