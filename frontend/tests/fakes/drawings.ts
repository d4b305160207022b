/** Builders of deltas, and a scripted server of drawings. */

import { ApiError } from "trade-canvas-client/http";
import { Looks, type Look } from "../../src/drawings/look";
import type {
  Definition,
  DrawDelta,
  DrawPoint,
  InstructionVersion,
  LineDefinition,
} from "trade-canvas-client/instruction";
import type { AtTimeQuery, DeltaQuery, OlderReader, OverlayReader } from "../../src/sync/readers";

export function line(feature: string, times: readonly number[], price = 100): Definition {
  return {
    type: "polyline",
    feature,
    points: times.map((time) => ({ time, value: price })),
    color: "#ffffff",
    lineWidth: 2,
    dashed: false,
    entryDirection: null,
    extendRight: false,
  };
}

export function mark(feature: string, time: number): Definition {
  const look = { position: "aboveBar", color: "#ef4444", shape: "circle", text: "" } as const;
  return { type: "marker", feature, time, ...look, size: 1 };
}

export function grownLine(
  points: readonly DrawPoint[],
  { feature = "mean.line", start = points[0]?.time ?? 0 } = {},
): LineDefinition {
  const stroke = { color: "blue", lineWidth: 1, dashed: false, title: "" };
  return { type: "line", feature, start, points, ...stroke };
}

/** Looks of features. */
export function looksWith(looks: Readonly<Record<string, Look>>): Looks {
  const more = { description: "", variants: new Map<string, Look>() };
  return new Looks(
    new Map(Object.entries(looks).map(([key, look]) => [key, { title: key, look, ...more }])),
  );
}

export function version(
  versionId: number,
  instructionId: string,
  definition: Definition | null = mark("pivot.major", 60),
): InstructionVersion {
  return { versionId, instructionId, visibleTime: 0, definition };
}

/** A delta at `toTime`; all of its patch is active unless other ids are named. */
export function delta(
  toTime: number,
  patch: readonly InstructionVersion[],
  activeIds: readonly string[] = patch.map(({ instructionId }) => instructionId),
): DrawDelta {
  const cursor = Math.max(0, ...patch.map((item) => item.versionId));
  return { toTime, activeIds, patch, points: new Map(), cursor };
}

export const conflict = (): ApiError => new ApiError(409, "out_of_sync", "ledger_out_of_sync:x");
export const missing = (detail: string): ApiError => new ApiError(404, "not_found", detail);

type Answer = DrawDelta | ApiError | null;

/** Answers reads from queues; an empty queue gives no change, or an empty baseline. */
export class FakeDrawings implements OverlayReader, OlderReader {
  readonly baselines: Answer[] = [];
  readonly deltas: Answer[] = [];
  readonly pasts: Answer[] = [];
  /** What was requested: "baseline", "after <cursor>" or "at <time>". */
  readonly asked: string[] = [];
  /** While set, answers wait until `release` is called. */
  held = false;
  private readonly waiting: (() => void)[] = [];

  async liveFrame(seriesId: string): Promise<DrawDelta> {
    this.asked.push(`baseline ${seriesId}`);
    return (await this.answer(this.baselines)) ?? delta(0, []);
  }

  async pollDelta(_: string, query: DeltaQuery): Promise<DrawDelta | null> {
    this.asked.push(`after ${query.afterId}`);
    return this.answer(this.deltas);
  }

  async drawingsAt(_: string, { atTime }: AtTimeQuery): Promise<DrawDelta> {
    this.asked.push(`at ${atTime}`);
    return (await this.answer(this.pasts)) ?? delta(atTime, []);
  }

  release(): void {
    this.held = false;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  private async answer(answers: Answer[]): Promise<DrawDelta | null> {
    const answer = answers.shift() ?? null;
    if (this.held) await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (answer instanceof ApiError) throw answer;
    return answer;
  }
}
