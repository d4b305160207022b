/** The drawings of one series: the newest version of each active instruction, and the cursor. */

import type {
  Definition,
  DrawChange,
  DrawDelta,
  DrawPoint,
  InstructionVersion,
} from "./instruction";

/** How many of the newest candles the server draws; the page requests as many. */
export const DRAWN_CANDLES = 2000;
/** Older points are read with older drawings. */
const MOST_POINTS = 2 * DRAWN_CANDLES;

export interface Drawings {
  /** The newest received version of every active instruction. */
  readonly catalog: ReadonlyMap<string, InstructionVersion>;
  /** The points of active lines, ascending by time. */
  readonly points: ReadonlyMap<string, readonly DrawPoint[]>;
  /** Ids to draw, ascending; an id may arrive before its version. */
  readonly activeIds: readonly string[];
  /** All changes up to here are applied; the next delta starts after it. */
  readonly cursor: number;
  /** The closed candle the drawings belong to, UTC seconds; null before the first answer. */
  readonly toTime: number | null;
}

export interface Drawing {
  readonly id: string;
  readonly definition: Definition;
}

export const NO_DRAWINGS: Drawings = {
  catalog: new Map(),
  points: new Map(),
  activeIds: [],
  cursor: 0,
  toTime: null,
};

/** The drawings of a baseline, which replaces everything drawn before. */
export function fromBaseline(delta: DrawDelta): Drawings {
  return applyDelta(NO_DRAWINGS, delta);
}

/**
 * Applies a delta; applying it again changes nothing.
 *
 * Versions and points of inactive ids are dropped: an instruction that left the window or was
 * withdrawn only returns with a new version. A new version ends the points from its time on.
 */
export function applyDelta(before: Drawings, delta: DrawDelta): Drawings {
  const newest = new Map(before.catalog);
  const points = new Map(before.points);
  for (const version of delta.patch) {
    const { instructionId: id, visibleTime } = version;
    const held = newest.get(id);
    if (held !== undefined && version.versionId <= held.versionId) continue;
    newest.set(id, version);
    const kept = points.get(id)?.filter(({ time }) => time < visibleTime);
    if (kept !== undefined) points.set(id, kept);
  }
  for (const [id, added] of delta.points) points.set(id, appended(points.get(id) ?? [], added));
  return {
    catalog: only(newest, delta.activeIds),
    points: only(points, delta.activeIds),
    activeIds: delta.activeIds,
    cursor: Math.max(before.cursor, delta.cursor),
    toTime: delta.toTime,
  };
}

/** Applies a change, which must begin at the cursor of these drawings. */
export function applyChange(before: Drawings, change: DrawChange): Drawings {
  const { removedIds, ...delta } = change;
  const shown = new Set(before.activeIds);
  for (const { instructionId } of change.patch) shown.add(instructionId);
  for (const id of removedIds) shown.delete(id);
  const isSame = shown.size === before.activeIds.length && removedIds.length === 0;
  const activeIds = isSame ? before.activeIds : [...shown].sort();
  return applyDelta(before, { ...delta, activeIds });
}

/** The drawings to show, in the order of the active ids. */
export function activeDrawings({ catalog, points, activeIds }: Drawings): Drawing[] {
  return activeIds.flatMap((id): Drawing[] => {
    const definition = catalog.get(id)?.definition ?? null;
    if (definition === null) return [];
    if (definition.type !== "line") return [{ id, definition }];
    const own = (points.get(id) ?? []).filter(({ time }) => time >= definition.start);
    return [{ id, definition: { ...definition, points: own } }];
  });
}

/** Points with newer ones, of which the oldest are dropped when there are very many. */
function appended(held: readonly DrawPoint[], added: readonly DrawPoint[]): readonly DrawPoint[] {
  const [first] = added;
  if (first === undefined) return held;
  const last = held.at(-1);
  const isLater = last === undefined || last.time < first.time;
  if (isLater) return [...held, ...added].slice(-MOST_POINTS);
  const byTime = new Map([...held, ...added].map((point) => [point.time, point]));
  return [...byTime.values()].sort((left, right) => left.time - right.time).slice(-MOST_POINTS);
}

function only<Value>(all: ReadonlyMap<string, Value>, ids: readonly string[]): Map<string, Value> {
  const kept = new Map<string, Value>();
  for (const id of ids) {
    const value = all.get(id);
    if (value !== undefined) kept.set(id, value);
  }
  return kept;
}
