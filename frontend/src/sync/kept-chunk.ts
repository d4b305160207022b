/**
 * Notes of the newest chunk of history that the browser keeps, one for each of a few series.
 *
 * With it a page needs from the server only the candles after the chunk. `src/early.ts` reads the
 * notes too.
 */

import { tryParseSeriesId } from "trade-canvas-client/series-id";
import type { KeptChunk } from "trade-canvas-client/history";

interface Note extends KeptChunk {
  /** Until then (milliseconds) the candles after it are few enough to be read in one answer. */
  readonly until: number;
}

const STORAGE_KEY = "trade_canvas.history";
const MOST_SERIES = 8;
const CELL_CANDLES = 2048;

/** Seconds of a cell of history; 0 for what is no series id. */
export function spanOf(seriesId: string): number {
  return CELL_CANDLES * (tryParseSeriesId(seriesId)?.timeframe.seconds ?? 0);
}

type Storing = Pick<Storage, "getItem" | "setItem">;

export class KeptChunks {
  private readonly storage: () => Storing;

  /** `storage` may throw, as access to it can be forbidden. */
  constructor(storage: () => Storing) {
    this.storage = storage;
  }

  /** The note of a series, while it is of use. */
  get(seriesId: string, now: number): KeptChunk | null {
    const note = this.read()[seriesId];
    return note !== undefined && now < note.until ? note : null;
  }

  set(seriesId: string, chunk: KeptChunk): void {
    const notes = this.read();
    delete notes[seriesId];
    notes[seriesId] = { ...chunk, until: (chunk.since + 2 * spanOf(seriesId)) * 1000 };
    const newest = Object.entries(notes).slice(-MOST_SERIES);
    try {
      this.storage().setItem(STORAGE_KEY, JSON.stringify(Object.fromEntries(newest)));
    } catch {
      // Full or forbidden: the page reads whole pages then.
    }
  }

  private read(): Record<string, Note> {
    try {
      const notes: unknown = JSON.parse(this.storage().getItem(STORAGE_KEY) ?? "{}");
      return typeof notes === "object" && notes !== null ? (notes as Record<string, Note>) : {};
    } catch {
      return {};
    }
  }
}
