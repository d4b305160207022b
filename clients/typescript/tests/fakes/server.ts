/** A server in memory: a candle store behind the HTTP contract, and sockets driven by the test. */

import { ApiError } from "../../src/http.js";
import type { CandlePage, CandleQuery, CandleReader } from "../../src/readers.js";
import type { Candle } from "../../src/candle.js";
import type { SeriesSocket } from "../../src/ports.js";

export interface Asked {
  readonly seriesId: string;
  readonly since: number | null;
  readonly limit: number;
}

export class FakeServer implements CandleReader {
  readonly asked: Asked[] = [];
  readonly sockets: FakeSocket[] = [];
  /** Answers to give instead of the next reads. */
  readonly failures: ApiError[] = [];
  /** While set, answers wait until `release` is called. */
  held = false;
  /** Whether answers contain the epoch of their candles. */
  tellsEpoch = true;
  /** The store's past; null for a server that sends none. */
  generation: string | null = null;
  /** Most candles in one answer, whatever the limit. */
  rowLimit = 5000;
  private readonly store = new Map<string, Map<number, Candle>>();
  private readonly waiting: (() => void)[] = [];
  /** From which time on each epoch changed something; epoch 1 is the first. */
  private readonly revisions: number[] = [];

  put(seriesId: string, candles: readonly Candle[]): void {
    const series = this.store.get(seriesId) ?? new Map<number, Candle>();
    const head = Math.max(...series.keys());
    const revised = candles.map((candle) => candle.candle_time).filter((time) => time <= head);
    if (revised.length > 0) this.revisions.push(Math.min(...revised));
    for (const candle of candles) series.set(candle.candle_time, candle);
    this.store.set(seriesId, series);
  }

  /** Puts another past in place of this one, as a failover or a restore does. */
  failOver(seriesId: string, candles: readonly Candle[], generation: string): void {
    this.store.set(seriesId, new Map());
    this.revisions.length = 0;
    this.generation = generation;
    this.put(seriesId, candles);
  }

  get epoch(): number {
    return this.revisions.length;
  }

  /** The earliest time that was changed after `epoch`. */
  revisedSince(epoch: number): number | null {
    const times = this.revisions.slice(epoch);
    return times.length === 0 ? null : Math.min(...times);
  }

  async candles(seriesId: string, query: CandleQuery): Promise<CandlePage> {
    const since = query.since ?? null;
    this.asked.push({ seriesId, since, limit: query.limit });
    if (this.held) await new Promise<void>((resolve) => this.waiting.push(resolve));
    const failure = this.failures.shift();
    if (failure) throw failure;
    return this.page(seriesId, since, query.limit);
  }

  release(): void {
    this.held = false;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  openSocket = (): SeriesSocket => {
    const socket = new FakeSocket();
    this.sockets.push(socket);
    return socket;
  };

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("no socket was opened");
    return socket;
  }

  /** Everything stored, ascending. */
  rows(seriesId: string): Candle[] {
    const series = [...(this.store.get(seriesId)?.values() ?? [])];
    return series.sort((left, right) => left.candle_time - right.candle_time);
  }

  private page(seriesId: string, since: number | null, asked: number): CandlePage {
    const limit = Math.min(asked, this.rowLimit);
    const all = this.rows(seriesId);
    const candles =
      since === null
        ? all.slice(-limit)
        : all.filter((candle) => candle.candle_time > since).slice(0, limit);
    return {
      candles,
      serverHead: all.at(-1)?.candle_time ?? null,
      serverTimeMs: null,
      epoch: this.tellsEpoch ? this.epoch : null,
      generation: this.generation,
    };
  }
}

export class FakeSocket implements SeriesSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.closed = true;
  }

  abandon(): void {
    this.closed = true;
  }

  open(): void {
    this.onopen?.();
  }

  push(message: Record<string, unknown>): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  drop(code = 1006): void {
    this.onclose?.({ code, reason: "" });
  }
}

export const unreachable = (): ApiError => new ApiError(0, "network", "unreachable");
