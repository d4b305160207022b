/** The drawings of one series: the newest version of each active instruction, and the cursor. */

import type { Definition, DrawDelta, InstructionVersion } from "./instruction";

/** How many of the newest candles the server draws; the page requests as many. */
export const DRAWN_CANDLES = 2000;

export interface Drawings {
  /** The newest received version of every active instruction. */
  readonly catalog: ReadonlyMap<string, InstructionVersion>;
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
 * Versions of inactive ids are dropped: an instruction that left the window or was withdrawn only
 * returns with a new version.
 */
export function applyDelta(before: Drawings, delta: DrawDelta): Drawings {
  const newest = new Map(before.catalog);
  for (const version of delta.patch) {
    const held = newest.get(version.instructionId);
    if (held === undefined || version.versionId >= held.versionId) {
      newest.set(version.instructionId, version);
    }
  }
  return {
    catalog: only(newest, delta.activeIds),
    activeIds: delta.activeIds,
    cursor: Math.max(before.cursor, delta.cursor),
    toTime: delta.toTime,
  };
}

/** The drawings to show, in the order of the active ids. */
export function activeDrawings({ catalog, activeIds }: Drawings): Drawing[] {
  return activeIds.flatMap((id) => {
    const definition = catalog.get(id)?.definition ?? null;
    return definition === null ? [] : [{ id, definition }];
  });
}

function only(
  versions: ReadonlyMap<string, InstructionVersion>,
  ids: readonly string[],
): Map<string, InstructionVersion> {
  const kept = new Map<string, InstructionVersion>();
  for (const id of ids) {
    const version = versions.get(id);
    if (version !== undefined) kept.set(id, version);
  }
  return kept;
}
