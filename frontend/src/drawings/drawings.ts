/** The drawings of one series: the newest version of each active instruction, and the cursor. */

import { firstNot } from "trade-canvas-client/bisect";
import type {
  Definition,
  DrawChange,
  DrawDelta,
  DrawPoint,
  InstructionVersion,
} from "trade-canvas-client/instruction";

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
  const { catalog, points } = merged(before, delta);
  return {
    catalog: only(catalog, delta.activeIds),
    points: only(points, delta.activeIds),
    activeIds: delta.activeIds,
    cursor: Math.max(before.cursor, delta.cursor),
    toTime: delta.toTime,
  };
}

/** Applies a change, which must begin at the cursor of these drawings. */
export function applyChange(before: Drawings, change: DrawChange): Drawings {
  const { catalog, points } = merged(before, change);
  const activeIds = changedIds(before, change);
  const { removedIds } = change;
  const strange = [...change.points.keys()].filter((id) => !catalog.has(id) && !activeIds.includes(id));
  return {
    catalog: without(catalog, removedIds),
    points: without(points, [...removedIds, ...strange]),
    activeIds,
    cursor: Math.max(before.cursor, change.cursor),
    toTime: change.toTime,
  };
}

/** Whether these are the same drawings: most candles change none. */
export function areSame(one: Drawings, other: Drawings): boolean {
  const { catalog, points, activeIds } = one;
  return catalog === other.catalog && points === other.points && activeIds === other.activeIds;
}

/** The drawings to show, in the order of the active ids. */
export function activeDrawings({ catalog, points, activeIds }: Drawings): Drawing[] {
  const drawings: Drawing[] = [];
  for (const id of activeIds) {
    const definition = catalog.get(id)?.definition ?? null;
    if (definition === null) continue;
    if (definition.type !== "line") drawings.push({ id, definition });
    else {
      const own = (points.get(id) ?? []).filter(({ time }) => time >= definition.start);
      drawings.push({ id, definition: { ...definition, points: own } });
    }
  }
  return drawings;
}

/** Versions and points with those of a delta, still with those of inactive ids. */
function merged(
  before: Drawings,
  { patch, points: added }: Pick<DrawDelta, "patch" | "points">,
): Pick<Drawings, "catalog" | "points"> {
  if (patch.length === 0 && added.size === 0) return before;
  const catalog = new Map(before.catalog);
  const points = new Map(before.points);
  for (const version of patch) {
    const { instructionId: id, visibleTime } = version;
    const held = catalog.get(id);
    if (held !== undefined && version.versionId <= held.versionId) continue;
    catalog.set(id, version);
    const kept = points.get(id)?.filter(({ time }) => time < visibleTime);
    if (kept !== undefined) points.set(id, kept);
  }
  for (const [id, own] of added) points.set(id, appended(points.get(id) ?? [], own));
  return { catalog, points };
}

/** The active ids after a change, ascending; the same list where none came or went. */
function changedIds({ activeIds, catalog }: Drawings, change: DrawChange): readonly string[] {
  const { patch, removedIds } = change;
  const isKnown = patch.every(({ instructionId }) => catalog.has(instructionId));
  if (isKnown && removedIds.length === 0) return activeIds;
  const removed = new Set(removedIds);
  const ids = removed.size === 0 ? [...activeIds] : activeIds.filter((id) => !removed.has(id));
  for (const { instructionId: id } of patch) {
    const place = firstNot(ids, (other) => other < id);
    if (ids[place] !== id && !removed.has(id)) ids.splice(place, 0, id);
  }
  return ids;
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

/** The same map where it has none of the ids. */
function without<Value>(
  all: ReadonlyMap<string, Value>,
  ids: readonly string[],
): ReadonlyMap<string, Value> {
  if (!ids.some((id) => all.has(id))) return all;
  const kept = new Map(all);
  for (const id of ids) kept.delete(id);
  return kept;
}

function only<Value>(all: ReadonlyMap<string, Value>, ids: readonly string[]): Map<string, Value> {
  const kept = new Map<string, Value>();
  for (const id of ids) {
    const value = all.get(id);
    if (value !== undefined) kept.set(id, value);
  }
  return kept;
}
