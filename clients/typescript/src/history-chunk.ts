/**
 * Decoder of compact history (docs/history-format.md), version 1.
 *
 * It imports nothing, and its candles are plain objects: copy it into your own project.
 */

export interface HistoryCandle {
  candle_time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

const MAGIC = 0x31484354; // "TCH1"
const HEADER_BYTES = 36;
const AS_DOUBLES = 255;
const FIELDS = ["open", "high", "low", "close", "volume"] as const;

/** The candles of an uncompressed chunk; throws RangeError for anything else. */
export function decodeChunk(chunk: ArrayBuffer): HistoryCandle[] {
  const view = new DataView(chunk);
  const bytes = new Uint8Array(chunk);
  const count = view.getUint32(4, true);
  const odd = view.getUint32(32, true);
  const widths = bytes.subarray(26, 32);
  const end = widths.reduce((at, width) => at + width * count, HEADER_BYTES + 12 * odd);
  if (view.getUint32(0, true) !== MAGIC || end !== bytes.length) {
    throw new RangeError("Not a chunk of history, or not a whole one.");
  }
  let at = HEADER_BYTES + 12 * odd;
  const [waits, gaps, bodies, ups, downs, volumes] = Array.from(widths, (width, column) => {
    const start = at;
    at += width * count;
    const decimals = column === 0 ? 0 : (bytes[column === 5 ? 25 : 24] as number);
    return decimals === AS_DOUBLES
      ? doubles(bytes, start, count)
      : wholeNumbers(bytes, start, count, width);
  }) as [Column, Column, Column, Column, Column, Column];

  const step = Number(view.getBigInt64(16, true));
  const scale = 10 ** (bytes[24] as number);
  const volumeScale = bytes[25] === AS_DOUBLES ? 1 : 10 ** (bytes[25] as number);
  const areDoubles = bytes[24] === AS_DOUBLES;
  const candles: HistoryCandle[] = new Array(count);
  let candle_time = Number(view.getBigInt64(8, true));
  let close = 0;
  for (let row = 0; row < count; row += 1) {
    if (row > 0) candle_time += step + valueAt(waits, row);
    const volume = valueAt(volumes, row) / volumeScale;
    if (areDoubles) {
      candles[row] = {
        candle_time,
        open: valueAt(gaps, row),
        high: valueAt(bodies, row),
        low: valueAt(ups, row),
        close: valueAt(downs, row),
        volume,
      };
      continue;
    }
    const open = close + signed(valueAt(gaps, row));
    close = open + signed(valueAt(bodies, row));
    candles[row] = {
      candle_time,
      open: open / scale,
      high: (open + valueAt(ups, row)) / scale,
      low: (open - valueAt(downs, row)) / scale,
      close: close / scale,
      volume,
    };
  }
  for (let index = 0; index < odd; index += 1) {
    const place = view.getUint32(HEADER_BYTES + 4 * index, true);
    const candle = candles[Math.floor(place / 5)] as HistoryCandle;
    candle[FIELDS[place % 5] as (typeof FIELDS)[number]] = view.getFloat64(
      HEADER_BYTES + 4 * odd + 8 * index,
      true,
    );
  }
  return candles;
}

type Column = Uint32Array | Float64Array;

function valueAt(column: Column, row: number): number {
  return column[row] as number;
}

/** 0, 1, 2, 3 … as 0, -1, 1, -2 …, also beyond 32 bits. */
function signed(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

/** The values of a column; `width` bytes of each are written, the lowest first. */
function wholeNumbers(bytes: Uint8Array, start: number, count: number, width: number): Column {
  const low = new Uint32Array(count);
  for (let plane = 0; plane < Math.min(width, 4); plane += 1) {
    const from = start + plane * count;
    for (let row = 0; row < count; row += 1) {
      low[row] = (low[row] as number) | ((bytes[from + row] as number) << (8 * plane));
    }
  }
  if (width <= 4) return low;
  const whole = Float64Array.from(low);
  for (let plane = 4; plane < width; plane += 1) {
    const from = start + plane * count;
    for (let row = 0; row < count; row += 1) {
      whole[row] = (whole[row] as number) + (bytes[from + row] as number) * 2 ** (8 * plane);
    }
  }
  return whole;
}

function doubles(bytes: Uint8Array, start: number, count: number): Column {
  const sorted = new Uint8Array(8 * count);
  for (let plane = 0; plane < 8; plane += 1) {
    const from = start + plane * count;
    for (let row = 0; row < count; row += 1) sorted[8 * row + plane] = bytes[from + row] as number;
  }
  const view = new DataView(sorted.buffer);
  return Float64Array.from({ length: count }, (_, row) => view.getFloat64(8 * row, true));
}
