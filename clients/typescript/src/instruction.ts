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

export interface BoxDefinition {
  readonly type: "box";
  readonly feature: string;
  readonly start: number;
  readonly end: number;
  readonly top: number;
  readonly bottom: number;
  readonly color: string;
  readonly lineWidth: number;
  /** Null: a light shade of the colour. */
  readonly fill: string | null;
  readonly dashed: boolean;
  readonly extendRight: boolean;
  readonly title: string;
}

export interface LabelDefinition {
  readonly type: "label";
  readonly feature: string;
  readonly time: number;
  readonly value: number;
  readonly text: string;
  readonly color: string;
  readonly place: "above" | "center" | "below";
  readonly title: string;
}

/** A line that grows by at most one point with each candle; its points are received apart. */
export interface LineDefinition {
  readonly type: "line";
  readonly feature: string;
  /** Points before it belong to an earlier line of this id. */
  readonly start: number;
  readonly points: readonly DrawPoint[];
  readonly color: string;
  readonly lineWidth: number;
  readonly dashed: boolean;
  readonly title: string;
}

export type Definition =
  | MarkerDefinition
  | PolylineDefinition
  | BoxDefinition
  | LabelDefinition
  | LineDefinition;

export interface InstructionVersion {
  readonly versionId: number;
  readonly instructionId: string;
  /** The candle with which it appeared, UTC seconds. */
  readonly visibleTime: number;
  /** Null: withdrawn, or of an unknown type. */
  readonly definition: Definition | null;
}

export interface DrawDelta {
  /** The closed candle the drawings belong to; null when there is none. */
  readonly toTime: number | null;
  readonly activeIds: readonly string[];
  readonly patch: readonly InstructionVersion[];
  /** What lines gained, by id, ascending by time. */
  readonly points: ReadonlyMap<string, readonly DrawPoint[]>;
  /** Where the next delta continues. */
  readonly cursor: number;
}

/** What one or more closed candles changed. */
export interface DrawChange extends Omit<DrawDelta, "activeIds"> {
  /** The cursor of the drawings that it changes. */
  readonly previousCursor: number;
  /** No longer shown; everything else in the patch is. */
  readonly removedIds: readonly string[];
}

type Json = Record<string, unknown>;

/** The delta, or null when any part is malformed: a partial delta would leave wrong drawings. */
export function parseDrawDelta(value: unknown): DrawDelta | null {
  if (!isObject(value) || !isObject(value["next_cursor"])) return null;
  const { active_ids: active, instruction_catalog_patch: items, to_candle_time: time } = value;
  const cursor = value["next_cursor"]["version_id"];
  if (!isTexts(active) || !Array.isArray(items) || !Number.isSafeInteger(cursor)) return null;
  const patch = items.map(parseVersion);
  const points = parsePoints(value["series_points"] ?? {});
  if (patch.includes(null) || points === null) return null;
  return {
    toTime: Number.isSafeInteger(time) ? (time as number) : null,
    activeIds: active,
    patch: patch as InstructionVersion[],
    points,
    cursor: cursor as number,
  };
}

/** The change of a `draw_delta` message, or null when any part is malformed. */
export function parseDrawChange(value: Readonly<Json>): DrawChange | null {
  const { previous_cursor: previous, cursor, removed_ids: removed, to_candle_time: time } = value;
  const next_cursor = { version_id: cursor };
  const delta = parseDrawDelta({ ...value, active_ids: [], next_cursor });
  if (delta === null || !Number.isSafeInteger(previous) || !isTexts(removed)) return null;
  if (!Number.isSafeInteger(time)) return null;
  const { toTime, patch, points } = delta;
  const cursors = { previousCursor: previous as number, cursor: delta.cursor };
  return { toTime, patch, points, removedIds: removed, ...cursors };
}

function parseVersion(value: unknown): InstructionVersion | null {
  if (!isObject(value)) return null;
  const { version_id: versionId, instruction_id: instructionId, visible_time: visible } = value;
  if (!Number.isSafeInteger(versionId) || typeof instructionId !== "string") return null;
  const definition = parseDefinition(value["definition"]);
  const visibleTime = Number.isSafeInteger(visible) ? (visible as number) : 0;
  return { versionId: versionId as number, instructionId, visibleTime, definition };
}

/** Null when any is malformed. */
function parsePoints(value: unknown): Map<string, DrawPoint[]> | null {
  if (!isObject(value)) return null;
  const found = new Map<string, DrawPoint[]>();
  for (const [id, pairs] of Object.entries(value)) {
    if (!Array.isArray(pairs)) return null;
    const points = pairs.map((pair: unknown) => {
      const [time, price] = Array.isArray(pair) ? (pair as unknown[]) : [];
      return { time, value: price };
    });
    if (!points.every(isPoint)) return null;
    found.set(id, points);
  }
  return found;
}

/** Null for an empty definition (a withdrawal) and for types that a newer server may add. */
function parseDefinition(value: unknown): Definition | null {
  if (!isObject(value)) return null;
  const { type, feature, color } = value;
  if (typeof feature !== "string" || typeof color !== "string") return null;
  if (type === "marker") return parseMarker(value, feature, color);
  if (type === "polyline") return parsePolyline(value, feature, color);
  if (type === "box") return parseBox(value, feature, color);
  if (type === "label") return parseLabel(value, feature, color);
  return type === "line" ? parseLine(value, feature, color) : null;
}

function parseBox(value: Json, feature: string, color: string): BoxDefinition | null {
  const { start, end, top, bottom, fill } = value;
  if (!isFinite(top) || !isFinite(bottom)) return null;
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end)) return null;
  return {
    type: "box",
    feature,
    start: start as number,
    end: end as number,
    top,
    bottom,
    fill: typeof fill === "string" ? fill : null,
    extendRight: value["extendRight"] === true,
    ...strokeOf(value, color),
  };
}

function parseLabel(value: Json, feature: string, color: string): LabelDefinition | null {
  const { time, value: price, text, place } = value;
  if (!Number.isSafeInteger(time) || !isFinite(price) || typeof text !== "string") return null;
  return {
    type: "label",
    feature,
    time: time as number,
    value: price,
    text,
    color,
    place: place === "above" || place === "below" ? place : "center",
    title: titleOf(value),
  };
}

function parseLine(value: Json, feature: string, color: string): LineDefinition | null {
  const { start } = value;
  if (!Number.isSafeInteger(start)) return null;
  return {
    type: "line",
    feature,
    start: start as number,
    points: [],
    ...strokeOf(value, color),
  };
}

interface Stroke {
  readonly color: string;
  readonly lineWidth: number;
  readonly dashed: boolean;
  readonly title: string;
}

function strokeOf(value: Json, color: string): Stroke {
  const { lineWidth } = value;
  return {
    color,
    lineWidth: isFinite(lineWidth) ? lineWidth : 1,
    dashed: value["lineStyle"] === "dashed",
    title: titleOf(value),
  };
}

function titleOf({ title }: Json): string {
  return typeof title === "string" ? title : "";
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
