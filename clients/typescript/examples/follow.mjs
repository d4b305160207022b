// Prints the closed candles of a series, each once, and again when it was revised.
// node follow.mjs http://127.0.0.1:8000 binance:futures:BTC/USDT:1m
import { Client } from "trade-canvas-client";

const [server, series] = process.argv.slice(2);
const client = new Client(server);
const print = ({ candle_time, close }) => console.log(candle_time, close);

const { candles, cursor } = await client.candles(series, { limit: 500 });
candles.forEach(print);
for await (const event of client.follow(series, cursor)) {
  if (event.type === "candles") event.candles.forEach(print);
  else if (event.type === "gap") console.log("gap", event.from, event.to);
  else if (event.type === "revised") console.log("revised", event.from);
  else if (event.type === "reset") console.log("reset");
  else if (event.type === "status") console.error(event.status, event.failure?.code ?? "");
}
