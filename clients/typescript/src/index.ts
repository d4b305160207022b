/** The client of a trade_canvas server; docs/typescript-client.md describes it. */

export { Client } from "./client.js";
export type {
  Candles,
  ClientOptions,
  EventQuery,
  FactorEvent,
  FactorEvents,
  FeatureQuery,
  FeatureValue,
  Features,
  Frame,
  Newest,
  Range,
} from "./client.js";
export { ApiError } from "./http.js";
export { decodeChunk } from "./history-chunk.js";
export type { Follow, FollowEvent, FollowOptions, Cursor } from "./follow.js";
export type { Candle } from "./candle.js";
export type * from "./instruction.js";
