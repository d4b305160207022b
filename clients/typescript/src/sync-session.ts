/**
 * Keeps one series in step with the server: catch-up over HTTP, then follow over the socket.
 *
 * The session performs the effects; the reducer decides what they change. A stopped session ignores
 * answers that are still under way.
 */

import { BackOff } from "./back-off.js";
import { CONNECTION_LOST, REFUSED, SILENT, TOO_LARGE } from "./explanations.js";
import {
  CandleReads,
  NEWEST,
  NEWEST_LIMIT,
  RANGE_LIMIT,
  type Beginning,
  type ReadDependencies,
} from "./candle-reads.js";
import { parseServerMessage, subscribeMessage, type ServerMessage } from "./messages.js";
import { initialState, lastClosedTime, reduce } from "./series-state.js";
import { Timers } from "./timers.js";
import type { ApiError } from "./http.js";
import type { CandleSource, OpenSource, SourceEvents } from "./candle-source.js";
import type { OpenSocket, SeriesSocket } from "./ports.js";
import type { Action, Failure, SeriesState } from "./series-state.js";

export interface SessionDependencies extends ReadDependencies {
  readonly openSocket: OpenSocket;
}

type TimerName =
  "open" | "reconnect" | "stable" | "refresh" | "silence" | "poll" | "resubscribe" | "accepted";

const OPEN_LIMIT_MS = 10_000;
const STABLE_AFTER_MS = 10_000;
const REFRESH_SPREAD_MS = 2_000;
const LEAST_SILENCE_MS = 30_000;
const POLL_MS = 5_000;
const ACCEPTED_AFTER_MS = 3_000;
/** Refusals that trying again does not change. */
const FINAL_REFUSALS = new Set([
  "bad_request",
  "unknown_symbol",
  "exchange_not_served",
  "series_alias",
]);

const SERVER_SHUTDOWN = 1001;
const SLOW_CONSUMER = 4008;
const REFUSALS: Readonly<Record<number, string>> = {
  1008: REFUSED,
  1009: TOO_LARGE,
};

interface Probe {
  readonly closed: number | null;
  readonly receivedAt: number;
}

/** The source of live series. */
export function liveSource(dependencies: SessionDependencies): OpenSource {
  return (seriesId, events) => new SyncSession(seriesId, dependencies, events);
}

export class SyncSession implements CandleSource {
  private readonly dependencies: SessionDependencies;
  private readonly events: SourceEvents;
  private readonly beginning: Beginning;
  private readonly timers: Timers<TimerName>;
  private readonly reads: CandleReads;
  private readonly reconnectBackOff: BackOff;
  private readonly capacityBackOff: BackOff;
  private current: SeriesState;
  private socket: SeriesSocket | null = null;
  private receivedAt = 0;
  private probe: Probe | null = null;
  private stopped = false;

  /** Throws when `seriesId` can not be parsed. */
  constructor(
    seriesId: string,
    dependencies: SessionDependencies,
    events: SourceEvents,
    beginning = NEWEST,
  ) {
    this.dependencies = dependencies;
    this.events = events;
    this.beginning = beginning;
    this.current = initialState(seriesId);
    this.timers = new Timers(dependencies.clock);
    this.reconnectBackOff = new BackOff(500, 10_000, dependencies.random);
    this.capacityBackOff = new BackOff(5_000, 60_000, dependencies.random);
    this.reads = new CandleReads(
      dependencies,
      { state: () => this.current, dispatch: (action) => this.dispatch(action) },
      {
        completed: () => this.readCompleted(),
        postponed: (error, retryAt) => this.readPostponed(error, retryAt),
        refused: (error) => this.readRefused(error),
      },
      beginning.since,
    );
  }

  get state(): SeriesState {
    return this.current;
  }

  start(): void {
    const { epoch, generation } = this.beginning;
    const { seriesId } = this.current;
    this.dispatch({ type: "series_changed", seriesId, past: { epoch, generation } });
    this.reads.request(null);
  }

  stop(): void {
    this.stopped = true;
    this.reads.stop();
    this.dropSocket();
  }

  /** Starts again after an error, or makes the next attempt now. */
  retry(): void {
    if (this.current.status !== "error") {
      this.wake();
      return;
    }
    this.dispatch({ type: "connecting" });
    this.reads.request(lastClosedTime(this.current));
  }

  /** The network is back, or the page is visible again. */
  wake(): void {
    if (this.stopped || this.current.status === "error") return;
    if (this.timers.isArmed("reconnect")) this.connect();
    else if (this.reads.hurry()) this.hurried();
    else if (this.socket !== null && this.silentFor() > LEAST_SILENCE_MS) this.startProbe();
  }

  private hurried(): void {
    if (this.socket === null) this.dispatch({ type: "connecting" });
  }

  /** The server has this closed candle (UTC seconds): one that did not arrive is looked for. */
  headSeen(time: number): void {
    if (this.socket === null || this.probe !== null) return;
    const closed = lastClosedTime(this.current);
    if (closed !== null && time > closed) this.startProbe();
  }

  /** Whether the exchange lists the market as halted or delisted. */
  halted(isHalted: boolean): void {
    if (this.current.halted !== isHalted) this.dispatch({ type: "halted", halted: isHalted });
  }

  /** Reads the candles before the first one. */
  loadOlder(): void {
    void this.reads.readOlder();
  }

  private dispatch(action: Action): void {
    if (this.stopped) return;
    const step = reduce(this.current, action);
    this.current = step.state;
    if (!this.current.atCapacity) this.timers.clear("resubscribe");
    this.schedulePoll();
    this.events.changed(step, action);
  }

  // --- reads ---------------------------------------------------------------------------------

  private readCompleted(): void {
    if (this.current.status === "error") return;
    if (this.socket === null && !this.timers.isArmed("reconnect")) this.connect();
    else this.finishProbe();
  }

  private readPostponed(error: ApiError, retryAt: number): void {
    if (this.probe !== null) {
      this.socket?.abandon();
      this.reconnect(failureOf(error), this.reconnectBackOff.next());
    } else if (this.socket === null && !this.timers.isArmed("reconnect")) {
      this.dispatch({ type: "waiting", retryAt, failure: failureOf(error) });
    }
  }

  private readRefused(error: ApiError): void {
    // While the series is followed, a refused read does not end the session.
    if (this.socket === null) this.fail(failureOf(error));
  }

  // --- socket --------------------------------------------------------------------------------

  private connect(): void {
    if (this.stopped || this.socket !== null) return;
    this.timers.clear("reconnect");
    this.dispatch({ type: "connecting" });
    const socket = this.dependencies.openSocket(this.current.seriesId);
    this.socket = socket;
    socket.onopen = () => this.opened();
    socket.onmessage = (event) => this.received(event.data);
    socket.onclose = (event) => this.closed(event.code);
    this.timers.arm("open", OPEN_LIMIT_MS, () => {
      this.socket?.abandon();
      this.closed(1006);
    });
  }

  private opened(): void {
    const resumed = this.current.interrupted;
    this.timers.clear("open");
    this.timers.arm("stable", STABLE_AFTER_MS, () => this.reconnectBackOff.reset());
    this.dispatch({ type: "socket_opened" });
    this.receivedAt = this.dependencies.clock.now();
    this.subscribe();
    this.watchSilence();
    this.events.connected?.(true);
    if (resumed && this.current.epoch === null) this.scheduleRefresh();
    if (resumed) this.events.rewritten(null); // Notices sent meanwhile were missed.
  }

  private subscribe(): void {
    const { seriesId, epoch, generation } = this.current;
    const since = lastClosedTime(this.current) ?? this.beginning.since;
    const drawings = this.events.drawings?.() ?? null;
    this.socket?.send(subscribeMessage(seriesId, { since, epoch, generation, drawings }));
  }

  /** Without an epoch the server can not report what was revised meanwhile: read all again. */
  private scheduleRefresh(): void {
    const delay = REFRESH_SPREAD_MS * this.dependencies.random();
    this.timers.arm("refresh", delay, () => {
      const { candles } = this.current;
      const first = candles[0]?.candle_time ?? 0;
      this.reads.request(candles.length > NEWEST_LIMIT ? first - 1 : null);
    });
  }

  private closed(code: number): void {
    const refusal = REFUSALS[code];
    if (refusal !== undefined) {
      this.fail({ code: `closed_${code}`, detail: refusal });
      return;
    }
    const invited = code === SERVER_SHUTDOWN || code === SLOW_CONSUMER;
    const quick = invited && this.reconnectBackOff.attempts === 0;
    const step = this.reconnectBackOff.next();
    const delay = quick ? 200 + 1000 * this.dependencies.random() : step;
    this.reconnect({ code: `closed_${code}`, detail: CONNECTION_LOST }, delay);
  }

  private reconnect(failure: Failure, delay: number): void {
    this.dropSocket();
    const retryAt = this.dependencies.clock.now() + delay;
    this.timers.arm("reconnect", delay, () => this.connect());
    this.dispatch({ type: "waiting", retryAt, failure });
  }

  private dropSocket(): void {
    const socket = this.socket;
    this.socket = null;
    this.probe = null;
    this.timers.clearAll();
    if (socket === null) return;
    this.events.connected?.(false);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private fail(failure: Failure): void {
    this.dropSocket();
    this.reads.forget();
    this.dispatch({ type: "failed", failure });
  }

  // --- messages ------------------------------------------------------------------------------

  private received(data: unknown): void {
    this.receivedAt = this.dependencies.clock.now();
    const message = parseServerMessage(data);
    if (message === null) return;
    if (message.series_id !== null && message.series_id !== this.current.seriesId) return;
    if (message.type === "error") this.refusedByServer(message.code, message.message);
    else {
      this.reconnectBackOff.reset();
      this.follow(message);
    }
  }

  private follow(message: Exclude<ServerMessage, { type: "error" }>): void {
    const { seconds } = this.current.timeframe;
    switch (message.type) {
      case "gap": {
        const { expected_next_time: from, actual_time: to } = message;
        this.dispatch({ type: "gap", from, to });
        this.reads.requestSoon(from - seconds);
        this.events.rewritten(null);
        break;
      }
      case "revised":
        this.reads.discardOlder();
        // From 0: the server's store has another past, in which no loaded candle may exist.
        if (message.from_time === 0) this.dispatch({ type: "forgotten" });
        this.dispatch({ type: "revised", fromTime: message.from_time });
        this.reads.request(this.revisedSince(message.from_time), message.epoch);
        this.events.rewritten(null);
        break;
      case "rebuilt":
        this.events.rewritten(message.message);
        break;
      case "draw_cursor":
      case "draw_delta":
      case "health":
        this.events.pushed?.(message);
        break;
      case "candles_batch":
        this.dispatch({ type: "candles_batch", candles: message.candles });
        // A full batch may be truncated: read the rest.
        if (message.candles.length >= RANGE_LIMIT) this.reads.request(lastClosedTime(this.current));
        break;
      default:
        this.dispatch({ type: message.type, candle: message.candle });
    }
  }

  /** Where to read a revision from: within the loaded candles, or within the newest page. */
  private revisedSince(fromTime: number): number | null {
    const { candles, timeframe } = this.current;
    const first = candles[0]?.candle_time;
    const last = lastClosedTime(this.current);
    if (first === undefined || last === null) return null;
    const window = last - (NEWEST_LIMIT - 1) * timeframe.seconds;
    return Math.max(fromTime, Math.min(first, window)) - 1;
  }

  private refusedByServer(code: string, detail: string): void {
    if (code === "capacity") this.capacityReached();
    else if (FINAL_REFUSALS.has(code)) this.fail({ code, detail });
    else this.reconnect({ code, detail }, this.reconnectBackOff.next());
  }

  // --- capacity, polling, silence ------------------------------------------------------------

  private capacityReached(): void {
    this.timers.clear("accepted");
    this.dispatch({ type: "capacity", reached: true });
    this.timers.arm("resubscribe", this.capacityBackOff.next(), () => this.subscribeAgain());
  }

  /** Subscriptions are not acknowledged: no refusal within a few seconds means accepted. */
  private subscribeAgain(): void {
    this.subscribe();
    this.timers.arm("accepted", ACCEPTED_AFTER_MS, () => {
      this.capacityBackOff.reset();
      this.dispatch({ type: "capacity", reached: false });
    });
  }

  /** Polls while the server pushes nothing: it refused, or the series is empty. */
  private schedulePoll(): void {
    const { atCapacity, status } = this.current;
    if (this.socket === null || !(atCapacity || status === "empty")) this.timers.clear("poll");
    else if (!this.timers.isArmed("poll")) this.timers.arm("poll", POLL_MS, () => this.poll());
  }

  private poll(): void {
    this.reads.request(lastClosedTime(this.current));
    this.schedulePoll();
  }

  private silentFor(): number {
    return this.dependencies.clock.now() - this.receivedAt;
  }

  private watchSilence(): void {
    const limit = Math.max(3000 * this.current.timeframe.seconds, LEAST_SILENCE_MS);
    const left = limit - this.silentFor();
    // Longer delays overflow the browser's timers; one more check a day is harmless.
    const delay = left > 0 ? Math.min(left, 86_400_000) : LEAST_SILENCE_MS;
    this.timers.arm("silence", delay, () => {
      if (this.silentFor() >= limit) this.silenceNoticed();
      this.watchSilence();
    });
  }

  private silenceNoticed(): void {
    if (!this.current.stale) this.dispatch({ type: "stale", stale: true });
    this.startProbe();
  }

  /** Checks over HTTP whether a silent socket missed something. */
  private startProbe(): void {
    if (this.current.atCapacity) return;
    this.probe = { closed: lastClosedTime(this.current), receivedAt: this.receivedAt };
    this.reads.request(this.probe.closed);
  }

  private finishProbe(): void {
    const probe = this.probe;
    this.probe = null;
    if (probe === null || probe.receivedAt !== this.receivedAt) return;
    if (lastClosedTime(this.current) === probe.closed) return;
    const failure = { code: "silent", detail: SILENT };
    this.socket?.abandon();
    this.reconnect(failure, 200 + 1000 * this.dependencies.random());
  }
}

function failureOf(error: ApiError): Failure {
  return { code: error.code, detail: error.message };
}
