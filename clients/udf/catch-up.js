// Keeps a chart of TradingView's library whole over outages and revisions. One file without
// dependencies; copy it into your own project (docs/udf.md).
//
//     import { withCatchUp } from "./catch-up.js";
//     const url = "https://charts.example/udf";
//     const feed = new Datafeeds.UDFCompatibleDatafeed(url);
//     const widget = new TradingView.widget({
//       datafeed: withCatchUp(feed, url, { reload: () => widget.activeChart().resetData() }),
//     });
//
// The adapter that comes with the library shows the last two bars of each poll: bars that closed
// before those, while neither the network nor the server answered, stay missing. This one asks from
// the last bar that the chart has, passes on every bar since, and has the chart read everything
// again once a bar of its past was revised.

const DAY_S = 86_400;

export function withCatchUp(feed, url, { everyMs = 5_000, reload = () => {} } = {}) {
  const newest = new Map();
  const stops = new Map();
  const keyOf = (symbol, resolution) => `${symbol.ticker} ${resolution}`;
  const wrapped = Object.create(feed);

  wrapped.getBars = (symbol, resolution, period, onResult, onError) => {
    const keep = (bars, meta) => {
      if (period.firstDataRequest) newest.set(keyOf(symbol, resolution), bars.at(-1)?.time);
      onResult(bars, meta);
    };
    feed.getBars(symbol, resolution, period, keep, onError);
  };

  wrapped.subscribeBars = (symbol, resolution, onTick, id, onResetCacheNeeded = () => {}) => {
    const key = keyOf(symbol, resolution);
    let past, timer;
    let isStopped = false;

    const readAgain = () => {
      onResetCacheNeeded();
      reload();
    };

    const poll = async () => {
      const last = newest.get(key);
      // The server answers up to its newest bar, whatever this machine's clock shows.
      const to = Math.ceil(Date.now() / 1000) + DAY_S;
      const from = last === undefined ? to : last / 1000;
      const query = new URLSearchParams({ symbol: symbol.ticker, resolution, from, to, countback: 2 });
      const answer = await fetch(`${url}/history?${query}`);
      const bars = await answer.json();
      if (isStopped || bars.s !== "ok" || newest.get(key) !== last) return;
      const found = ["X-Series-Epoch", "X-Series-Generation"].map((name) => answer.headers.get(name)).join();
      const isRevised = past !== undefined && past !== found;
      past = found;
      // Without the last bar among them there were more than one answer has.
      if (isRevised || (last !== undefined && !bars.t.includes(last / 1000))) {
        readAgain();
        return;
      }
      for (const [at, time] of bars.t.entries()) {
        if (last !== undefined && time * 1000 <= last) continue;
        newest.set(key, time * 1000);
        onTick({
          time: time * 1000,
          open: bars.o[at],
          high: bars.h[at],
          low: bars.l[at],
          close: bars.c[at],
          volume: bars.v[at],
        });
      }
    };

    const run = async () => {
      // A poll that fails is repeated with the next one.
      await poll().catch(() => {});
      if (!isStopped) timer = setTimeout(run, everyMs);
    };
    timer = setTimeout(run, everyMs);
    stops.set(id, () => {
      isStopped = true;
      clearTimeout(timer);
    });
  };

  wrapped.unsubscribeBars = (id) => {
    stops.get(id)?.();
    stops.delete(id);
  };
  return wrapped;
}
