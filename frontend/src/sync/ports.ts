/** What the page needs from the browser; tests replace it. */

import type { Socket } from "trade-canvas-client/ports";

/** The part of the browser's EventSource that is used. */
export interface EventStream {
  /** 2 once the browser does not reconnect any more. */
  readonly readyState: number;
  addEventListener(type: string, listener: (event: { data?: unknown }) => void): void;
  close(): void;
}

export type OpenEventStream = (path: string) => EventStream;

/** An address of the server, which may serve the page below a prefix: `/api/…` is beside it. */
export function besideThePage(path: string, page = window.location.href): URL {
  return new URL(path.replace(/^\//, ""), new URL(".", page));
}

export const openBrowserEventStream: OpenEventStream = (path) =>
  new EventSource(besideThePage(path));

/** Opens `/ws/market` on the page's own host, beside the page. */
export function openBrowserSocket(): Socket {
  const address = besideThePage("/ws/market");
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(address) as Socket;
}
