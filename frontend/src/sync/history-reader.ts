/**
 * Reads candles from compact history where the server has it, and in pages otherwise.
 *
 * The first answer is a page, as without history. Some time later the newest chunk is read, which
 * the browser then keeps: at the next visit only the candles after it come from the server. The
 * code for chunks is loaded when it is first needed.
 */

import { spanOf, type KeptChunks } from "./kept-chunk";
import { RANGE_LIMIT } from "trade-canvas-client/candle-reads";
import type { History, KeptChunk } from "trade-canvas-client/history";
import type { Candle } from "trade-canvas-client/candle";
import type { Clock } from "trade-canvas-client/ports";
import type { CandlePage, CandleQuery, CandleReader, OlderPage, OlderQuery } from "trade-canvas-client/readers";

/** The page has other things to do first. */
const KEEP_AFTER_MS = 5_000;

export interface HistoryDependencies {
  readonly api: CandleReader;
  readonly clock: Clock;
  readonly kept: KeptChunks;
  /** Loads the code for chunks. */
  readonly load: () => Promise<History>;
  /** Whether the page can't be seen; then it requests nothing that can wait. */
  readonly isHidden: () => boolean;
}

export class HistoryReader implements CandleReader {
  private readonly dependencies: HistoryDependencies;
  private loading: Promise<History> | null = null;

  constructor(dependencies: HistoryDependencies) {
    this.dependencies = dependencies;
  }

  async candles(seriesId: string, query: CandleQuery): Promise<CandlePage> {
    if (query.since != null) return this.dependencies.api.candles(seriesId, query);
    const { api, clock, kept } = this.dependencies;
    const chunk = kept.get(seriesId, clock.now());
    const joined = chunk === null ? null : await this.joined(seriesId, chunk, query);
    const page = joined ?? (await api.candles(seriesId, query));
    const end = ((chunk?.since ?? -Infinity) + spanOf(seriesId)) * 1000;
    if (joined === null || clock.now() > end) this.keepLater(seriesId);
    return page;
  }

  async older(seriesId: string, query: OlderQuery): Promise<OlderPage | null> {
    return (await this.history()).older(seriesId, query);
  }

  forget(seriesId: string): void {
    void this.loading?.then((history) => history.forget(seriesId));
  }

  /** The kept chunk and the candles after it; null when they are not of the same past. */
  private async joined(
    seriesId: string,
    { name, since, epoch, generation }: KeptChunk,
    query: CandleQuery,
  ): Promise<CandlePage | null> {
    const [tail, older] = await Promise.all([
      this.dependencies.api.candles(seriesId, { ...query, since, limit: RANGE_LIMIT }),
      this.chunk(seriesId, name, query.signal),
    ]);
    if (older === null || tail.epoch !== epoch || tail.generation !== generation) return null;
    return { ...tail, candles: [...older, ...tail.candles] };
  }

  private async chunk(
    seriesId: string,
    name: string,
    signal?: AbortSignal,
  ): Promise<Candle[] | null> {
    try {
      return await (await this.history()).candlesOf(seriesId, name, signal);
    } catch {
      return null; // Neither the browser nor the server has it any more.
    }
  }

  private keepLater(seriesId: string): void {
    const { clock, isHidden } = this.dependencies;
    clock.setTimeout(() => {
      if (isHidden()) this.keepLater(seriesId);
      else void this.keep(seriesId);
    }, KEEP_AFTER_MS);
  }

  private async keep(seriesId: string): Promise<void> {
    try {
      const chunk = await (await this.history()).keepNewest(seriesId);
      if (chunk !== null) this.dependencies.kept.set(seriesId, chunk);
    } catch {
      // The server is away, or has another release by now: the next visit reads whole pages.
    }
  }

  private history(): Promise<History> {
    this.loading ??= this.dependencies.load().catch((error: unknown) => {
      this.loading = null;
      throw error;
    });
    return this.loading;
  }
}
