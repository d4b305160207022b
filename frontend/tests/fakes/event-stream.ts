/** An EventSource whose events come from the test. */

import type { EventStream } from "../../src/sync/ports";

type Listener = (event: { data?: unknown }) => void;

export class FakeEventStream implements EventStream {
  readyState = 0;
  readonly path: string;
  private readonly listeners = new Map<string, Listener[]>();

  constructor(path: string) {
    this.path = path;
  }

  addEventListener(type: string, listener: Listener): void {
    this.listeners.set(type, [...(this.listeners.get(type) ?? []), listener]);
  }

  close(): void {
    this.readyState = 2;
  }

  push(type: string, data: unknown): void {
    this.readyState = 1;
    this.emit(type, { data: typeof data === "string" ? data : JSON.stringify(data) });
  }

  /** The connection was lost and the browser connects again. */
  lose(): void {
    this.readyState = 0;
    this.emit("error", {});
  }

  /** The server refused the connection: the browser does not try again. */
  refuse(): void {
    this.readyState = 2;
    this.emit("error", {});
  }

  private emit(type: string, event: { data?: unknown }): void {
    for (const listener of this.listeners.get(type) ?? []) listener(event);
  }
}
