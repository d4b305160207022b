/** A server that answers subscriptions as `/ws/market` does: catch-up, gaps, revisions, live. */

import { FakeServer, FakeSocket } from "./server.js";
import type { Candle } from "../../src/candle.js";
import type { FakeClock } from "./clock.js";

export class LiveServer extends FakeServer {
  readonly series: string;
  /** Whether new connections are refused. */
  isAway = false;
  private readonly clock: FakeClock;
  private readonly sentTo = new Map<FakeSocket, number>();

  constructor(series: string, clock: FakeClock) {
    super();
    this.series = series;
    this.clock = clock;
  }

  override openSocket = (): FakeSocket => {
    const socket = new FakeSocket();
    this.sockets.push(socket);
    socket.send = (text) => {
      FakeSocket.prototype.send.call(socket, text);
      const message = JSON.parse(text) as Record<string, unknown>;
      if (message["type"] === "subscribe") this.subscribed(socket, message);
    };
    this.clock.setTimeout(() => {
      if (this.isAway) socket.drop();
      else if (!socket.closed) socket.open();
    }, 1);
    return socket;
  };

  /** Stores candles; followers get those behind the head, or are notified of a revision. */
  add(...list: readonly Candle[]): void {
    const revisions = this.epoch;
    this.put(this.series, list);
    if (this.epoch > revisions) this.notify(Math.min(...list.map((each) => each.candle_time)));
    for (const [socket, head] of this.sentTo) {
      if (!socket.closed) this.sendAfter(socket, head);
    }
  }

  /** Replaces the store by one with another past. */
  restore(list: readonly Candle[], generation: string): void {
    this.failOver(this.series, list, generation);
    this.notify(0);
    for (const socket of this.sentTo.keys()) this.sentTo.set(socket, this.head);
  }

  lose(code = 1006): void {
    const lost = [...this.sentTo.keys()].filter((socket) => !socket.closed);
    this.sentTo.clear();
    for (const socket of lost) {
      socket.closed = true;
      socket.drop(code);
    }
  }

  get head(): number {
    return this.rows(this.series).at(-1)?.candle_time ?? 0;
  }

  /** How many connections are subscribed. */
  get followers(): number {
    return [...this.sentTo.keys()].filter((socket) => !socket.closed).length;
  }

  private subscribed(socket: FakeSocket, message: Record<string, unknown>): void {
    const { since, epoch, generation } = message;
    const head = typeof since === "number" ? since : this.head;
    this.clock.setTimeout(() => {
      if (socket.closed) return;
      this.sendAfter(socket, head);
      const isOther = typeof generation === "string" && generation !== this.generation;
      const from = isOther ? 0 : this.revisedSince(typeof epoch === "number" ? epoch : this.epoch);
      if (from !== null) this.notifyOne(socket, from);
    }, 1);
  }

  private sendAfter(socket: FakeSocket, since: number): void {
    const fresh = this.rows(this.series).filter((each) => each.candle_time > since);
    let before = since;
    for (const candle of fresh) {
      const { candle_time: time } = candle;
      const gap = { type: "gap", expected_next_time: before + 60, actual_time: time };
      if (before > 0 && time > before + 60) socket.push({ ...gap, series_id: this.series });
      socket.push({ type: "candle_closed", series_id: this.series, candle });
      before = time;
    }
    this.sentTo.set(socket, before);
  }

  private notify(from: number): void {
    for (const socket of this.sentTo.keys()) {
      if (!socket.closed) this.notifyOne(socket, from);
    }
  }

  private notifyOne(socket: FakeSocket, from_time: number): void {
    const data = { series_id: this.series, from_time, epoch: this.epoch };
    const event = { type: "system", event: "candle.revised", message: "", data };
    socket.push({ ...event, series_id: this.series });
  }
}
