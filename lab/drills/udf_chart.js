// A chart that reads UDF, as far as a data feed can tell: it makes the requests of the adapter that
// comes with TradingView's charting library, at the same times and with the same ranges, and asserts
// what the library asserts of bars. `lab/drills/charts.py` runs it in a browser.
(() => {
  const DAY_S = 86_400;

  const request = async (url, path, parameters) => {
    const answer = await fetch(`${url}/${path}?${new URLSearchParams(parameters)}`);
    return JSON.parse(await answer.text());
  };

  // The adapter's arithmetic, which gives fractions.
  const span = (resolution, bars) => {
    if (resolution.endsWith("D")) return bars * DAY_S;
    if (resolution.endsWith("W")) return 7 * bars * DAY_S;
    return ((bars * parseInt(resolution)) / (24 * 60)) * 24 * 60 * 60;
  };

  const barsOf = (body) =>
    (body.t ?? []).map((time, at) => ({
      time: time * 1000,
      open: body.o[at],
      high: body.h[at],
      low: body.l[at],
      close: body.c[at],
      volume: body.v[at],
    }));

  // The two calls that a chart of the library makes for bars, with the adapter's polls behind them.
  class Adapter {
    constructor(url, everyMs = 10_000) {
      this.url = url;
      this.everyMs = everyMs;
      this.subscribers = new Map();
    }

    async history(symbol, resolution, period) {
      const range = { symbol: symbol.ticker, resolution, from: period.from, to: period.to };
      const body = await request(this.url, "history", { ...range, countback: period.countBack });
      if (body.s !== "ok" && body.s !== "no_data") throw new Error(body.errmsg);
      return { bars: barsOf(body), meta: { noData: body.s === "no_data", nextTime: body.nextTime } };
    }

    getBars(symbol, resolution, period, onResult, onError) {
      this.history(symbol, resolution, period).then(({ bars, meta }) => onResult(bars, meta), onError);
    }

    subscribeBars(symbol, resolution, onTick, id) {
      let last = null;
      let isPending = false;
      const poll = async () => {
        const to = Math.floor(Date.now() / 1000);
        const from = to - span(resolution, 10);
        const { bars } = await this.history(symbol, resolution, { from, to, countBack: 2 });
        const newest = bars.at(-1);
        if (!newest || (last !== null && newest.time < last)) return;
        if (last !== null && newest.time > last) onTick(bars.at(-2));
        last = newest.time;
        onTick(newest);
      };
      const timer = setInterval(async () => {
        if (isPending) return;
        isPending = true;
        await poll().catch(() => {});
        isPending = false;
      }, this.everyMs);
      this.subscribers.set(id, timer);
    }

    unsubscribeBars(id) {
      clearInterval(this.subscribers.get(id));
      this.subscribers.delete(id);
    }
  }

  class Chart {
    constructor(feed, symbol, resolution, stepS) {
      this.feed = feed;
      this.symbol = symbol;
      this.resolution = resolution;
      this.stepS = stepS;
      this.bars = new Map();
      this.newest = 0;
      this.violations = [];
      this.reloads = 0;
    }

    violate(text) {
      if (this.violations.length < 20) this.violations.push(text);
    }

    check(bar) {
      if (bar.time % (this.stepS * 1000) !== 0) this.violate(`${bar.time} is off the grid`);
      const { open, high, low, close } = bar;
      const isPossible = low <= Math.min(open, close) && Math.max(open, close) <= high;
      if (!isPossible) this.violate(`${bar.time} is no candle`);
    }

    load(count) {
      const to = Math.floor(Date.now() / 1000) + this.stepS;
      const period = { from: to - count * this.stepS, to, countBack: count, firstDataRequest: true };
      return new Promise((resolve, reject) => {
        const take = (bars) => {
          let before = 0;
          this.bars.clear();
          for (const bar of bars) {
            if (bar.time <= before) this.violate(`history: ${bar.time} after ${before}`);
            if (bar.time >= to * 1000) this.violate(`history: ${bar.time} is beyond the range`);
            before = bar.time;
            this.check(bar);
            this.bars.set(bar.time, bar);
          }
          this.newest = before;
          resolve(bars.length);
        };
        this.feed.getBars(this.symbol, this.resolution, period, take, reject);
      });
    }

    subscribe() {
      const onTick = (bar) => {
        // What the library reports as "putToCacheNewBar: time violation".
        if (bar.time < this.newest) {
          this.violate(`time violation: ${bar.time} after ${this.newest}`);
          return;
        }
        this.check(bar);
        this.bars.set(bar.time, bar);
        this.newest = Math.max(this.newest, bar.time);
      };
      this.feed.subscribeBars(this.symbol, this.resolution, onTick, this.resolution, () => {});
    }

    // What `resetData` of the library does.
    async reload() {
      this.reloads += 1;
      const count = this.bars.size + 120;
      await this.load(count).catch(() => {});
    }
  }

  // Shows one symbol; resolves once its first bars are there.
  const open = async (url, ticker, resolution, { everyMs, count, catchUp, adapter }) => {
    const config = await request(url, "config", {});
    if (!config.supports_search || config.supports_group_request) throw new Error("config");
    const symbol = await request(url, "symbols", { symbol: ticker });
    if (symbol.s !== undefined) throw new Error(symbol.errmsg);
    if (!symbol.supported_resolutions.includes(resolution)) throw new Error("resolution");
    const stepS = resolution.endsWith("S") ? parseInt(resolution) : parseInt(resolution) * 60;
    let feed = adapter ? new adapter(url, everyMs) : new Adapter(url, everyMs);
    let chart;
    if (catchUp) feed = catchUp(feed, url, { everyMs, reload: () => chart.reload() });
    chart = new Chart(feed, symbol, resolution, stepS);
    if (!(await chart.load(count))) throw new Error("no bars");
    chart.subscribe();
    return chart;
  };

  globalThis.udfChart = { open };
})();
