/**
 * One connection to the server for all sessions of the page.
 *
 * Each session opens a channel, which behaves like a socket of its own. The connection asks the
 * server for heartbeats, so that one that is dead but still open is noticed.
 */

import { Timers } from "./timers.js";
import type { Clock, OpenSocket, SeriesSocket, Socket } from "./ports.js";

/** The server sends a heartbeat every three seconds. */
const SILENCE_MS = 8_000;
/** How long the connection stays open without channels: a change of series needs it again. */
const LINGER_MS = 10_000;
/** The code of a connection that ended without a closing handshake. */
const LOST = 1006;
const HEARTBEAT = '{"type":"heartbeat"';
/** The answer of a server that knows no heartbeats. */
const UNKNOWN_HELLO = "unknown message type: hello";
/** The server writes the series near the beginning of long messages. */
const SEARCHED = 300;
const SERIES = /"series_id":("(?:[^"\\]|\\.)*")/;

export class SharedSocket {
  private readonly openReal: () => Socket;
  private readonly clock: Clock;
  private readonly health: boolean;
  private readonly timers: Timers<"silence" | "linger">;
  private readonly channels = new Set<Channel>();
  private real: Socket | null = null;
  private isOpen = false;
  private heardAt = 0;
  /** False once the server answered that it knows none. */
  private hasHeartbeats = true;

  /** With `health` the server sends the health of every series that is followed. */
  constructor(openReal: () => Socket, clock: Clock, health = true) {
    this.openReal = openReal;
    this.health = health;
    this.clock = clock;
    this.timers = new Timers(clock);
  }

  /** Opens a channel for the messages of a series. */
  readonly open: OpenSocket = (seriesId) => {
    const channel = new Channel(seriesId, this);
    this.channels.add(channel);
    this.timers.clear("linger");
    if (this.real === null) this.connect();
    else if (this.isOpen) this.clock.setTimeout(() => channel.opened(), 0);
    return channel;
  };

  /** Sends a message of a channel; lost while the connection is not open. */
  send(text: string): void {
    if (this.isOpen) this.real?.send(text);
  }

  /** Ends a channel; the connection stays for the others. */
  leave(channel: Channel): void {
    if (!this.channels.delete(channel)) return;
    const { seriesId } = channel;
    const shared = [...this.channels].some((other) => other.seriesId === seriesId);
    if (!shared) this.send(JSON.stringify({ type: "unsubscribe", series_id: seriesId }));
    if (this.channels.size === 0) this.timers.arm("linger", LINGER_MS, () => this.end(LOST));
  }

  /** Closes the connection for all channels. */
  end(code: number): void {
    const { real } = this;
    this.real = null;
    this.isOpen = false;
    this.hasHeartbeats = true;
    this.timers.clearAll();
    if (real !== null) {
      real.onopen = real.onmessage = real.onclose = null;
      real.close();
    }
    const ended = [...this.channels];
    this.channels.clear();
    for (const channel of ended) channel.ended(code);
  }

  private connect(): void {
    const real = this.openReal();
    this.real = real;
    real.onopen = () => {
      this.isOpen = true;
      real.send(JSON.stringify({ type: "hello", heartbeat: true, health: this.health }));
      this.watchSilence();
      for (const channel of [...this.channels]) channel.opened();
    };
    real.onmessage = ({ data }) => this.received(data);
    real.onclose = ({ code }) => this.end(code);
  }

  private watchSilence(): void {
    this.heardAt = this.clock.now();
    if (this.hasHeartbeats && !this.timers.isArmed("silence")) this.expectWithin(SILENCE_MS);
  }

  /** Setting a timer anew with each message would cost more than reading the message. */
  private expectWithin(delayMs: number): void {
    this.timers.arm("silence", delayMs, () => {
      const left = SILENCE_MS - (this.clock.now() - this.heardAt);
      if (left <= 0) this.end(LOST);
      else this.expectWithin(Math.min(left, SILENCE_MS));
    });
  }

  private received(data: unknown): void {
    if (typeof data !== "string") return;
    this.watchSilence();
    if (data.startsWith(HEARTBEAT)) return;
    const seriesId = seriesOf(data);
    if (seriesId === null && data.includes(UNKNOWN_HELLO)) {
      this.hasHeartbeats = false;
      this.timers.clear("silence");
      return;
    }
    for (const channel of [...this.channels]) {
      if (seriesId === null || channel.seriesId === seriesId) channel.onmessage?.({ data });
    }
  }
}

class Channel implements SeriesSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly seriesId: string;
  private readonly shared: SharedSocket;
  private isOpened = false;

  constructor(seriesId: string, shared: SharedSocket) {
    this.seriesId = seriesId;
    this.shared = shared;
  }

  send(text: string): void {
    this.shared.send(text);
  }

  close(): void {
    this.shared.leave(this);
  }

  abandon(): void {
    this.onopen = this.onmessage = this.onclose = null;
    this.shared.end(LOST);
  }

  opened(): void {
    if (this.isOpened) return;
    this.isOpened = true;
    this.onopen?.();
  }

  ended(code: number): void {
    this.onclose?.({ code, reason: "" });
  }
}

/** The series that a message names; null for one that concerns the whole connection. */
function seriesOf(text: string): string | null {
  const found = SERIES.exec(text.slice(0, SEARCHED)) ?? SERIES.exec(text);
  if (found === null) return null;
  return JSON.parse(found[1] as string) as string;
}
