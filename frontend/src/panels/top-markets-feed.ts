/**
 * Keeps a venue's largest markets up to date: streamed by the server, often while the list is
 * visible, and polled while the stream fails.
 */

import { asApiError } from "trade-canvas-client/http";
import { readTopMarkets, topMarketsQuery } from "../sync/api";
import { Timers } from "trade-canvas-client/timers";
import type { ApiError } from "trade-canvas-client/http";
import type { Api, TopMarket } from "../sync/api";
import type { Clock } from "trade-canvas-client/ports";
import type { EventStream, OpenEventStream } from "../sync/ports";

/** `list`: the list is visible. `figures`: only single figures are. `off`: the page is hidden. */
export type Attention = "list" | "figures" | "off";

export interface Venue {
  readonly exchange: string;
  readonly market: string;
}

export interface FeedEvents {
  arrived(markets: readonly TopMarket[]): void;
  /** `status` is the HTTP status of the failure, 0 without an answer. */
  failed(status: number): void;
}

export interface FeedDependencies {
  readonly api: Pick<Api, "topMarkets">;
  readonly clock: Clock;
  readonly openEventStream: OpenEventStream;
}

export const POLL_MS = 10_000;
/** A stream sends an event at once; without one, a proxy buffers it, and polling is better. */
export const SILENCE_MS = 15_000;
export const STREAM_AGAIN_MS = 60_000;
const STREAM_INTERVALS_S = { list: 5, figures: 30 };
const CLOSED = 2;
const UPSTREAM_ERROR = 502;

export class TopMarketsFeed {
  private readonly dependencies: FeedDependencies;
  private readonly events: FeedEvents;
  private readonly timers: Timers<"poll" | "silence" | "rest">;
  private venue: Venue | null = null;
  private attention: Attention = "off";
  private source: EventStream | null = null;
  private request: AbortController | null = null;

  constructor(dependencies: FeedDependencies, events: FeedEvents) {
    this.dependencies = dependencies;
    this.events = events;
    this.timers = new Timers(dependencies.clock);
  }

  /** Follows a venue instead of the previous one, even when it is the same. */
  follow(venue: Venue): void {
    this.venue = venue;
    this.restart();
  }

  attend(attention: Attention): void {
    if (attention === this.attention) return;
    this.attention = attention;
    this.restart();
  }

  private restart(): void {
    this.stop();
    if (this.venue !== null && this.attention !== "off") void this.ask(this.venue);
  }

  private stop(): void {
    this.timers.clearAll();
    this.request?.abort();
    this.request = null;
    this.source?.close();
    this.source = null;
  }

  // --- stream --------------------------------------------------------------------------------

  private stream(venue: Venue): void {
    const query = topMarketsQuery(venue.exchange, venue.market);
    const interval = STREAM_INTERVALS_S[this.attention === "list" ? "list" : "figures"];
    query.set("interval_s", String(interval));
    const source = this.dependencies.openEventStream(`/api/market/top_markets/stream?${query}`);
    this.source = source;
    const whileCurrent =
      (run: (data: unknown) => void) =>
      (event: { data?: unknown }): void => {
        if (this.source === source) run(event.data);
      };
    source.addEventListener("top_markets", whileCurrent((data) => this.pushed(data)));
    // The server's `error` events have the same name as the browser's, which carry no data.
    source.addEventListener(
      "error",
      whileCurrent((data) => (data === undefined ? this.interrupted(source) : this.unavailable())),
    );
    this.expectEvent();
  }

  private pushed(data: unknown): void {
    const markets = parseTopMarkets(data);
    if (markets === null) return;
    this.timers.clear("silence");
    this.events.arrived(markets);
  }

  private unavailable(): void {
    this.timers.clear("silence");
    this.events.failed(UPSTREAM_ERROR);
  }

  /** The browser reconnects by itself, unless the server refused. */
  private interrupted(source: EventStream): void {
    if (source.readyState === CLOSED) this.fallBack();
    else if (!this.timers.isArmed("silence")) this.expectEvent();
  }

  private expectEvent(): void {
    this.timers.arm("silence", SILENCE_MS, () => this.fallBack());
  }

  private fallBack(): void {
    this.restart();
    this.timers.arm("rest", STREAM_AGAIN_MS, () => undefined);
  }

  // --- polling -------------------------------------------------------------------------------

  /** A plain request precedes every stream: only its answer has the reason of a refusal. */
  private async ask(venue: Venue): Promise<void> {
    const request = new AbortController();
    this.request = request;
    try {
      const { api } = this.dependencies;
      const markets = await api.topMarkets(venue.exchange, venue.market, request.signal);
      if (request.signal.aborted) return;
      this.events.arrived(markets);
      if (!this.timers.isArmed("rest")) this.stream(venue);
      else this.askLater(venue);
    } catch (error) {
      if (!request.signal.aborted) this.refused(venue, asApiError(error));
    }
  }

  private refused(venue: Venue, error: ApiError): void {
    this.events.failed(error.status);
    if (error.transient) this.askLater(venue);
  }

  private askLater(venue: Venue): void {
    this.timers.arm("poll", POLL_MS, () => void this.ask(venue));
  }
}

function parseTopMarkets(data: unknown): TopMarket[] | null {
  try {
    return readTopMarkets(JSON.parse(String(data)));
  } catch {
    return null;
  }
}
