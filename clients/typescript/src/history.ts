/**
 * Compact history (docs/history-format.md): which chunks the server has, and their candles.
 *
 * Chunks never change, so the browser keeps them: one that was read before costs no request.
 */

import type { Candle } from "./candle.js";
import type { OlderPage, OlderQuery } from "./readers.js";

type Fetch = (path: string, init: RequestInit) => Promise<Response>;

/** A chunk that the HTTP cache has. */
export interface KeptChunk {
  readonly name: string;
  /** The candles after this time, UTC seconds, are in no chunk. */
  readonly since: number;
  /** The chunk has every revision up to this one. */
  readonly epoch: number;
  readonly generation: string;
}

interface Chunk {
  readonly name: string;
  readonly first: number;
  readonly candles: number;
}

interface IndexPage {
  readonly epoch: number;
  readonly generation: string;
  readonly tailSince: number | null;
  readonly chunks: readonly Chunk[];
  readonly nextBefore: number | null;
}

const TIMEOUT_MS = 15_000;
/** A read of older candles ends with the chunk that makes them so many. */
const LEAST_OLDER = 1000;

/** The answer was 404. */
class NotFound extends Error {}

export class History {
  private readonly fetch: Fetch;
  private readonly decode: (chunk: ArrayBuffer) => Candle[];
  private readonly indexes = new Map<string, IndexPage>();
  /** The server has no compact history. */
  private isOff = false;

  /** `decode` is `decodeChunk`: imported here it would be a script of its own, and a request. */
  constructor(fetch: Fetch, decode: (chunk: ArrayBuffer) => Candle[]) {
    this.fetch = fetch;
    this.decode = decode;
  }

  /** The candles before `first`; null where they are not in chunks. Throws like fetch. */
  async older(seriesId: string, query: OlderQuery): Promise<OlderPage | null> {
    if (this.isOff) return null;
    try {
      return await this.olderInChunks(seriesId, query);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      // The chunk was revised, or its candles were removed.
      this.forget(seriesId);
      return null;
    }
  }

  /** Candles of the series were revised: names of chunks may be others now. */
  forget(seriesId: string): void {
    this.indexes.delete(seriesId);
  }

  /** The newest chunk, read so that the browser keeps it; null where there is none. */
  async keepNewest(seriesId: string): Promise<KeptChunk | null> {
    if (this.isOff) return null;
    try {
      const index = await this.readIndex(seriesId);
      const newest = index.chunks.at(-1);
      if (newest === undefined || index.tailSince === null) return null;
      // Alone it would be too little to begin with.
      if (newest.candles < LEAST_OLDER) return null;
      await this.candlesOf(seriesId, newest.name);
      const { epoch, generation, tailSince: since } = index;
      return { name: newest.name, since, epoch, generation };
    } catch {
      return null;
    }
  }

  /** The candles of a chunk; from the browser's cache where it has been read before. */
  async candlesOf(seriesId: string, name: string, signal?: AbortSignal): Promise<Candle[]> {
    const query = new URLSearchParams({ series_id: seriesId });
    const response = await this.request(`/api/market/history/${name}?${query}`, { signal });
    return this.decode(await response.arrayBuffer());
  }

  private async olderInChunks(seriesId: string, query: OlderQuery): Promise<OlderPage | null> {
    const { first, epoch, generation, signal } = query;
    let index = this.indexes.get(seriesId);
    if (index === undefined || index.epoch < (epoch ?? 0)) {
      index = await this.readIndex(seriesId, null, signal);
      this.indexes.set(seriesId, index);
    }
    if (index.tailSince === null || first > index.tailSince + 1) return null;
    if (generation !== null && generation !== index.generation) return null;
    let candles: Candle[] = [];
    let until = first;
    while (candles.length < LEAST_OLDER) {
      while (!index.chunks.some((chunk) => chunk.first < until) && index.nextBefore !== null) {
        index = await this.readFurther(seriesId, index, signal);
      }
      const chunk = index.chunks.findLast((each) => each.first < until);
      if (chunk === undefined) break;
      const found = await this.candlesOf(seriesId, chunk.name, signal);
      candles = found.filter((candle) => candle.candle_time < until).concat(candles);
      until = chunk.first;
    }
    return { candles, epoch: index.epoch };
  }

  private async readFurther(
    seriesId: string,
    index: IndexPage,
    signal?: AbortSignal,
  ): Promise<IndexPage> {
    const further = await this.readIndex(seriesId, index.nextBefore, signal);
    if (further.epoch !== index.epoch || further.generation !== index.generation) {
      this.forget(seriesId);
      throw new Error("The server's candles changed meanwhile.");
    }
    const chunks = [...further.chunks, ...index.chunks];
    const longer = { ...index, chunks, nextBefore: further.nextBefore };
    // Not when it was forgotten meanwhile.
    if (this.indexes.get(seriesId) === index) this.indexes.set(seriesId, longer);
    return longer;
  }

  private async readIndex(
    seriesId: string,
    before: number | null = null,
    signal?: AbortSignal,
  ): Promise<IndexPage> {
    const query = new URLSearchParams({ series_id: seriesId });
    if (before !== null) query.set("before", String(before));
    const path = `/api/market/history?${query}`;
    const response = await this.request(path, { signal, cache: "no-cache" }).catch(
      (error: unknown) => {
        this.isOff ||= error instanceof NotFound;
        throw error;
      },
    );
    const body = (await response.json()) as Record<string, unknown>;
    if (body["format"] !== 1 || !Array.isArray(body["chunks"])) {
      throw new Error("The server's history has an unknown format.");
    }
    return {
      epoch: body["epoch"] as number,
      generation: body["generation"] as string,
      tailSince: body["tail_since"] as number | null,
      chunks: body["chunks"] as Chunk[],
      nextBefore: body["next_before"] as number | null,
    };
  }

  private async request(
    path: string,
    { signal, ...init }: { signal?: AbortSignal | undefined; cache?: RequestCache },
  ): Promise<Response> {
    const limit = AbortSignal.timeout(TIMEOUT_MS);
    const signals = signal ? AbortSignal.any([signal, limit]) : limit;
    const response = await this.fetch(path, { ...init, signal: signals });
    if (response.status === 404) throw new NotFound();
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    return response;
  }
}
