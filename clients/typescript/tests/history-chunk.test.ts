import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeChunk } from "../src/history-chunk.js";

interface Vector {
  readonly name: string;
  readonly chunk: string;
  readonly candles: readonly (readonly number[])[];
}

const vectors = JSON.parse(
  readFileSync(new URL("../../../tests/vectors/history.json", import.meta.url), "utf8"),
) as Vector[];

function bytesOf(vector: Vector): ArrayBuffer {
  return Uint8Array.from(Buffer.from(vector.chunk, "base64")).buffer;
}

describe("decodeChunk", () => {
  it.each(vectors)("reads what the server wrote: $name", (vector) => {
    const rows = decodeChunk(bytesOf(vector)).map(Object.values);
    // Object.is, so that -0 is not 0.
    expect(rows).toStrictEqual(vector.candles);
  });

  it("refuses what is no whole chunk", () => {
    const chunk = bytesOf(vectors[0] as Vector);
    expect(() => decodeChunk(chunk.slice(0, -1))).toThrow(RangeError);
    expect(() => decodeChunk(chunk.slice(0, 20))).toThrow(RangeError);
    expect(() => decodeChunk(new ArrayBuffer(chunk.byteLength))).toThrow(RangeError);
  });
});
