/** What is drawn of one series: the newest version of each instruction in view, and the cursor. */

import type { Definition, DrawDelta, InstructionVersion } from "./instruction";

/** As many candles as the server draws, and as are asked for. */
export const DRAWN_CANDLES = 2000;

export interface Drawings {
  /** The newest version of every active instruction that the server has told of. */
  readonly catalog: ReadonlyMap<string, InstructionVersion>;
  /** Ids to show, ascending; an id may be told before its version. */
  readonly activeIds: readonly string[];
  /** Up to where the server's changes are in: the next delta starts behind it. */
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

/** The drawings of a baseline: nothing of what was drawn before stays. */
export function fromBaseline(delta: DrawDelta): Drawings {
  return applyDelta(NO_DRAWINGS, delta);
}

/**
 * Takes a delta in; the same one again changes nothing.
 *
 * Versions of ids that are not active are dropped: an instruction that left the window or was
 * withdrawn comes back only with a new version.
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

/** What is to be drawn, in the order of the active ids. */
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
