/** Draw instructions as received from the server, validated. */

export interface DrawPoint {
  /** Open time of a candle, UTC seconds. */
  readonly time: number;
  /** Price. */
  readonly value: number;
}

export interface MarkerDefinition {
  readonly type: "marker";
  readonly feature: string;
  readonly time: number;
  readonly position: "aboveBar" | "belowBar";
  readonly color: string;
  readonly shape: "circle" | "arrowUp" | "arrowDown";
  readonly text: string;
  readonly size: number;
}

export interface PolylineDefinition {
  readonly type: "polyline";
  readonly feature: string;
  /** At least two, ascending by time. */
  readonly points: readonly DrawPoint[];
  readonly color: string;
  readonly lineWidth: number;
  readonly dashed: boolean;
  readonly entryDirection: 1 | -1 | null;
  /** The line continues horizontally from its last point to the newest candle. */
  readonly extendRight: boolean;
}

export type Definition = MarkerDefinition | PolylineDefinition;

export interface InstructionVersion {
  readonly versionId: number;
  readonly instructionId: string;
  /** Null: withdrawn, or of an unknown type. */
  readonly definition: Definition | null;
}

export interface DrawDelta {
  /** The closed candle the drawings belong to; null when there is none. */
  readonly toTime: number | null;
  readonly activeIds: readonly string[];
  readonly patch: readonly InstructionVersion[];
  /** Where the next delta continues. */
  readonly cursor: number;
}

type Json = Record<string, unknown>;

/** The delta, or null when any part is malformed: a partial delta would leave wrong drawings. */
export function parseDrawDelta(value: unknown): DrawDelta | null {
  if (!isObject(value) || !isObject(value["next_cursor"])) return null;
  const { active_ids: active, instruction_catalog_patch: items, to_candle_time: time } = value;
  const cursor = value["next_cursor"]["version_id"];
  if (!isTexts(active) || !Array.isArray(items) || !Number.isSafeInteger(cursor)) return null;
  const patch = items.map(parseVersion);
  if (patch.includes(null)) return null;
  return {
    toTime: Number.isSafeInteger(time) ? (time as number) : null,
    activeIds: active,
    patch: patch as InstructionVersion[],
    cursor: cursor as number,
  };
}

function parseVersion(value: unknown): InstructionVersion | null {
  if (!isObject(value)) return null;
  const { version_id: versionId, instruction_id: instructionId } = value;
  if (!Number.isSafeInteger(versionId) || typeof instructionId !== "string") return null;
  const definition = parseDefinition(value["definition"]);
  return { versionId: versionId as number, instructionId, definition };
}

/** Null for an empty definition (a withdrawal) and for types that a newer server may add. */
function parseDefinition(value: unknown): Definition | null {
  if (!isObject(value)) return null;
  const { type, feature, color } = value;
  if (typeof feature !== "string" || typeof color !== "string") return null;
  if (type === "marker") return parseMarker(value, feature, color);
  return type === "polyline" ? parsePolyline(value, feature, color) : null;
}

function parseMarker(value: Json, feature: string, color: string): MarkerDefinition | null {
  const { time, position, shape, text, size } = value;
  if (!Number.isSafeInteger(time)) return null;
  if (position !== "aboveBar" && position !== "belowBar") return null;
  if (shape !== "circle" && shape !== "arrowUp" && shape !== "arrowDown") return null;
  return {
    type: "marker",
    feature,
    time: time as number,
    position,
    color,
    shape,
    text: typeof text === "string" ? text : "",
    size: isFinite(size) ? size : 1,
  };
}

function parsePolyline(value: Json, feature: string, color: string): PolylineDefinition | null {
  const { points, lineWidth, entryDirection } = value;
  if (!Array.isArray(points) || points.length < 2 || !points.every(isPoint)) return null;
  return {
    type: "polyline",
    feature,
    points,
    color,
    lineWidth: isFinite(lineWidth) ? lineWidth : 1,
    dashed: value["lineStyle"] === "dashed",
    entryDirection: entryDirection === 1 || entryDirection === -1 ? entryDirection : null,
    extendRight: value["extendRight"] === true,
  };
}

function isPoint(value: unknown): value is DrawPoint {
  return isObject(value) && Number.isSafeInteger(value["time"]) && isFinite(value["value"]);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isFinite(value: unknown): value is number {
  return Number.isFinite(value);
}
