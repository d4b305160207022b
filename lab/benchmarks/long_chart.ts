/** What the page does with a long history, for `lab.benchmarks.history_chunks`: no server, no socket. */

import { initialState } from "trade-canvas-client/series-state";
import { decodeChunk } from "trade-canvas-client/history-chunk";
import { CandleChart } from "../../frontend/src/chart/chart";
import { themeOf } from "../../frontend/src/chart/theme";

export { decodeChunk };

const SERIES = "binance:spot:DOGE/USDT:1m";

const painted = (): Promise<unknown> =>
  new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

/** An empty chart, as it is painted while the first candles are under way. */
export async function open(root: HTMLElement): Promise<CandleChart> {
  const chart = new CandleChart(root, themeOf(root), {
    viewed: () => undefined,
    nearStart: () => undefined,
    pointed: () => undefined,
    atEnd: () => undefined,
  });
  await painted();
  return chart;
}

/** Decodes chunks and shows their candles; resolves once these are painted. Returns what is held. */
export async function show(chart: CandleChart, chunks: readonly ArrayBuffer[]): Promise<object> {
  const candles = chunks.flatMap(decodeChunk);
  const state = { ...initialState(SERIES), candles };
  chart.apply(state, { kind: "replace" });
  await painted();
  return state;
}
