// The least that follows a series with lightweight-charts: its newest candles, then its socket.
const given = new URLSearchParams(window.location.search);
const server = given.get("server");
const series = given.get("series");
const wanted = Number(given.get("candles"));

const root = document.getElementById("chart");
root.style.width = `${given.get("width")}px`;
root.style.height = `${given.get("height")}px`;
const chart = LightweightCharts.createChart(root, {
  autoSize: true,
  timeScale: { barSpacing: 8, rightOffset: 6, timeVisible: true, secondsVisible: true },
});
const prices = chart.addSeries(LightweightCharts.CandlestickSeries);
const row = ({ candle_time: time, open, high, low, close }) => ({ time, open, high, low, close });

async function page(query) {
  const answer = await fetch(`${server}/api/market/candles?series_id=${series}&${query}`);
  return (await answer.json()).candles;
}

async function start() {
  let candles = await page("limit=2000");
  while (candles.length < wanted) {
    const before = candles[0].candle_time;
    const missing = Math.min(5000, wanted - candles.length);
    const older = await page(`since=${before - missing - 1}&limit=${missing}`);
    candles = [...older, ...candles];
  }
  prices.setData(candles.map(row));
  root.dataset.lastTime = candles.at(-1).candle_time;
  const socket = new WebSocket(`${server.replace("http", "ws")}/ws/market`);
  socket.onopen = () => {
    const since = candles.at(-1).candle_time;
    const subscribe = { type: "subscribe", series_id: series, since, supports_batch: true };
    socket.send(JSON.stringify(subscribe));
    root.dataset.status = "live";
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    for (const candle of message.candles ?? (message.candle ? [message.candle] : [])) {
      prices.update(row(candle));
      root.dataset.newest = candle.close;
      if (message.type !== "candle_forming") root.dataset.lastTime = candle.candle_time;
    }
  };
}

start();
