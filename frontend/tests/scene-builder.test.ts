import { describe, expect, it } from "vitest";

import type { Loaded } from "../src/drawings/axis";
import type { Drawing } from "../src/drawings/drawings";
import type { BoxDefinition, Definition, LabelDefinition } from "trade-canvas-client/instruction";
import { NO_LOOKS } from "../src/drawings/look";
import { SceneBuilder } from "../src/drawings/scene-builder";
import { candle, candles, seededRandom } from "../../clients/typescript/tests/fakes/candles";
import { grownLine, line, looksWith, mark } from "./fakes/drawings";

const ALL = new Map<string, boolean>();
const LOOKS = looksWith({ "f.zone": { area: ["top", "bottom"] }, "f.whole": { unclipped: true } });
const LOADED: Loaded = { candles: candles(600, 10), forming: null, step: 60 };

/** A list that only grows, as candles and instructions come one after another. */
class Story {
  loaded: Loaded = { candles: candles(600, 3), forming: null, step: 60 };
  readonly drawings = new Map<string, Definition>();
  private listed: readonly Drawing[] | null = null;
  private readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** The same list as long as no drawing changes. */
  get list(): readonly Drawing[] {
    this.listed ??= [...this.drawings].map(([id, definition]) => ({ id, definition }));
    return this.listed;
  }

  next(): void {
    const candlesBefore = this.loaded.candles;
    const last = candlesBefore.at(-1)?.candle_time ?? 0;
    // One candle in five is missing.
    const time = last + (this.chance(0.2) ? 120 : 60);
    const closed = candle(time, 100 + this.below(50));
    const forming = this.chance(0.5) ? candle(time + 60) : null;
    if (this.chance(0.5)) this.loaded = { ...this.loaded, candles: [...candlesBefore, closed], forming };
    else if (this.chance(0.5)) this.loaded = { ...this.loaded, forming: candle(last + 60) };
    else if (this.chance(0.2)) this.revise();
    else if (this.chance(0.1)) this.prepend();
    if (this.chance(0.5)) return;
    this.listed = null;
    this.drawings.set(this.id(), this.drawn(last));
    if (this.chance(0.3)) this.drawings.delete(this.id());
  }

  private revise(): void {
    const changed = [...this.loaded.candles];
    const index = this.below(changed.length);
    changed[index] = candle(changed[index]?.candle_time ?? 0, 300);
    this.loaded = { ...this.loaded, candles: changed };
  }

  private prepend(): void {
    const { candles: held } = this.loaded;
    const first = held[0]?.candle_time ?? 0;
    this.loaded = { ...this.loaded, candles: [candle(first - 60), ...held] };
  }

  private drawn(last: number): Definition {
    const from = last - 60 * this.below(8);
    const to = from + 60 * (1 + this.below(8));
    const stroke = { color: "violet", lineWidth: 1, dashed: false, title: "" };
    const box = { type: "box", fill: null, start: from, end: to, top: 9, bottom: 1 } as const;
    const kinds: Definition[] = [
      mark("f", to),
      line("f.zone", [from, to]),
      line("f.whole", [from, to], this.below(9)),
      { ...line("f", [from, to]), extendRight: true } as Definition,
      { ...box, ...stroke, feature: "f", extendRight: this.chance(0.5) } as BoxDefinition,
      { type: "label", feature: "f", time: to, value: 1, text: "x", place: "above", ...stroke } as LabelDefinition,
      grownLine([from, to].map((time) => ({ time, value: 1 }))),
    ];
    return kinds[this.below(kinds.length)] as Definition;
  }

  private id(): string {
    return `f.zone:${this.below(6)}:${["top", "bottom", "x", "y"][this.below(4)]}`;
  }

  private below(count: number): number {
    return Math.floor(this.random() * count);
  }

  private chance(share: number): boolean {
    return this.random() < share;
  }
}

describe("SceneBuilder", () => {
  it("lays out what it would without having laid out anything before", () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const [story, builder] = [new Story(seed), new SceneBuilder()];
      for (let step = 0; step < 60; step += 1) {
        story.next();
        const given = [story.list, ALL, story.loaded, LOOKS] as const;
        expect(builder.build(...given), `seed ${seed}, step ${step}`).toEqual(
          new SceneBuilder().build(...given),
        );
      }
    }
  });

  it("keeps what a new candle does not move", () => {
    const builder = new SceneBuilder();
    const drawings: Drawing[] = [
      { id: "a", definition: mark("f", 660) },
      { id: "b", definition: line("f", [600, 720]) },
      { id: "c", definition: { ...line("f", [600, 720]), extendRight: true } as Definition },
    ];
    const before = builder.build(drawings, ALL, LOADED, NO_LOOKS);
    const longer = { ...LOADED, candles: [...LOADED.candles, candle(1200)] };
    const after = builder.build(drawings, ALL, longer, NO_LOOKS);
    expect(after.markers).toBe(before.markers);
    expect(after.lines[0]).toBe(before.lines[0]);
    expect(after.lines[1]?.places.at(-1)).toEqual({ index: 10, price: 100 });
  });

  it("lays out anew with other looks, and nothing of what is switched off", () => {
    const builder = new SceneBuilder();
    const drawings: Drawing[] = [{ id: "a", definition: mark("f", 660) }];
    builder.build(drawings, ALL, LOADED, NO_LOOKS);
    const looks = looksWith({ f: { color: "amber" } });
    expect(builder.build(drawings, ALL, LOADED, looks).markers[0]?.color).toBe("amber");
    const off = new Map([["f", false]]);
    expect(builder.build(drawings, off, LOADED, looks).markers).toEqual([]);
  });
});
