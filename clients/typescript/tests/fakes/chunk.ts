/** Chunks of compact history as a server writes them, with all values as doubles. */

import type { Candle } from "../../src/candle.js";

export function chunkOf(candles: readonly Candle[], seconds: number): ArrayBuffer {
  const count = candles.length;
  const chunk = new ArrayBuffer(36 + 40 * count);
  const view = new DataView(chunk);
  new TextEncoder().encodeInto("TCH1", new Uint8Array(chunk));
  view.setUint32(4, count, true);
  view.setBigInt64(8, BigInt(candles[0]?.candle_time ?? 0), true);
  view.setBigInt64(16, BigInt(seconds), true);
  [255, 255, 0, 8, 8, 8, 8, 8].forEach((byte, index) => view.setUint8(24 + index, byte));
  const fields = ["open", "high", "low", "close", "volume"] as const;
  const value = new DataView(new ArrayBuffer(8));
  fields.forEach((field, column) => {
    candles.forEach((candle, row) => {
      value.setFloat64(0, candle[field], true);
      for (let plane = 0; plane < 8; plane += 1) {
        view.setUint8(36 + (8 * column + plane) * count + row, value.getUint8(plane));
      }
    });
  });
  return chunk;
}
