/** The two calls of the charting library's data feed that are wrapped; the others stay as they are. */
export interface Feed {
  getBars(
    symbol: { ticker?: string },
    resolution: string,
    period: { from: number; to: number; countBack: number; firstDataRequest: boolean },
    onResult: (bars: { time: number }[], meta?: object) => void,
    onError: (reason: string) => void,
  ): void;
  subscribeBars(
    symbol: { ticker?: string },
    resolution: string,
    onTick: (bar: { time: number }) => void,
    id: string,
    onResetCacheNeeded: () => void,
  ): void;
  unsubscribeBars(id: string): void;
}

/**
 * The data feed with every bar passed on, however many closed between two polls. `reload` has the
 * chart read all its bars again: a bar of its past was revised.
 */
export function withCatchUp<F extends Feed>(
  feed: F,
  url: string,
  options?: { everyMs?: number; reload?: () => void },
): F;
