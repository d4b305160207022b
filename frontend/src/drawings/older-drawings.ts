/**
 * Drawings of candles older than the live drawings cover, read as they come into view.
 *
 * History is divided into stretches on a fixed grid. A stretch is what the server drew at its last
 * candle, without what was only valid at that moment. Stretches are read one at a time, newest
 * first, so that they always adjoin the live drawings; there are never more of them than the loaded
 * candles need.
 */

import { asApiError, type ApiError } from "trade-canvas-client/http";
import { BackOff } from "trade-canvas-client/back-off";
import { activeDrawings, fromBaseline, type Drawing } from "./drawings";
import { Timers } from "trade-canvas-client/timers";
import type { Definition, DrawDelta, DrawPoint, LineDefinition, PolylineDefinition } from "trade-canvas-client/instruction";
import type { Looks } from "./look";
import type { OverlayDependencies } from "./overlay-session";
import type { OlderReader } from "../sync/readers";

/** `failed`: some stretches in view could not be read yet. */
export type OlderStatus = "complete" | "reading" | "failed";

export interface OlderStep {
  /** Each id once; the live drawings may contain some of them too. */
  readonly drawings: readonly Drawing[];
  readonly status: OlderStatus;
}

export const NO_OLDER: OlderStep = { drawings: [], status: "complete" };

/** What is in view, and what is loaded. UTC seconds. */
export interface View {
  /** The first visible candle. */
  readonly from: number;
  /** The first loaded candle. */
  readonly first: number;
  /** Live drawings reach back to this time. */
  readonly liveFrom: number;
}

export interface OlderSeries {
  readonly id: string;
  /** Seconds from one candle to the next. */
  readonly step: number;
}

/** Half of what the server draws at a candle, so that neighbouring stretches overlap. */
export const STRETCH_CANDLES = 1000;

interface Stretch {
  readonly drawings: readonly Drawing[];
  /** How often the ledger had been rewritten when it was requested. */
  readonly edition: number;
}

export class OlderDrawings {
  private readonly series: OlderSeries;
  private readonly dependencies: OverlayDependencies & { readonly api: OlderReader };
  private readonly looks: () => Looks;
  private readonly listener: (step: OlderStep) => void;
  private readonly seconds: number;
  private readonly timers: Timers<"retry">;
  private readonly backOff: BackOff;
  private readonly abort = new AbortController();
  /** By the time of their last candle. */
  private readonly stretches = new Map<number, Stretch>();
  private view: View | null = null;
  private edition = 0;
  private running = false;
  private refused = false;

  /** `looks` are those of the moment; `listener` is called after every change. */
  constructor(
    series: OlderSeries,
    dependencies: OverlayDependencies & { readonly api: OlderReader },
    looks: () => Looks,
    listener: (step: OlderStep) => void,
  ) {
    this.series = series;
    this.dependencies = dependencies;
    this.looks = looks;
    this.listener = listener;
    this.seconds = STRETCH_CANDLES * series.step;
    this.timers = new Timers(dependencies.clock);
    this.backOff = new BackOff(1_000, 30_000, dependencies.random);
  }

  /** Reads what a view lacks, and drops stretches before the loaded candles. */
  look(view: View): void {
    this.view = view;
    this.forget(view.first);
    if (!this.timers.isArmed("retry")) void this.run();
  }

  /** The catalog arrived: what is momentary, or continues, may have changed. */
  relook(): void {
    if (this.stretches.size > 0) this.report(this.next() === null ? "complete" : "reading");
  }

  /** The server rewrote its ledger: stretches in view are read again, and stay until then. */
  rewritten(): void {
    this.edition += 1;
    this.refused = false;
    this.forget(Math.max(this.view?.from ?? Infinity, this.view?.first ?? Infinity));
    if (!this.timers.isArmed("retry")) void this.run();
  }

  stop(): void {
    this.abort.abort();
    this.timers.clearAll();
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    for (let end = this.next(); end !== null; end = this.next()) {
      this.report("reading");
      if (!(await this.attempt(end))) break;
    }
    this.running = false;
  }

  /** The newest stretch in view that is missing or out of date; null when there is none. */
  private next(): number | null {
    const { view, seconds } = this;
    if (view === null || this.refused || this.abort.signal.aborted) return null;
    const lowest = Math.max(view.from, view.first);
    // The newest stretch overlaps the start of the live drawings.
    for (let end = Math.ceil(view.liveFrom / seconds) * seconds; end > lowest; end -= seconds) {
      if (this.stretches.get(end)?.edition !== this.edition) return end;
    }
    return null;
  }

  private forget(before: number): void {
    for (const end of [...this.stretches.keys()]) if (end <= before) this.stretches.delete(end);
  }

  /** Reads one stretch; returns whether to continue. */
  private async attempt(end: number): Promise<boolean> {
    const { edition } = this;
    const query = { atTime: end, signal: this.abort.signal };
    try {
      const delta = await this.dependencies.api.drawingsAt(this.series.id, query);
      if (this.abort.signal.aborted) return false;
      this.backOff.reset();
      if (edition === this.edition) this.taken(end, delta);
      return true;
    } catch (error) {
      if (!this.abort.signal.aborted) this.failed(asApiError(error));
      return false;
    }
  }

  private taken(end: number, delta: DrawDelta): void {
    const drawings = activeDrawings(fromBaseline(delta));
    this.stretches.set(end, { drawings, edition: this.edition });
    this.report(this.next() === null ? "complete" : "reading");
  }

  private failed(error: ApiError): void {
    this.refused = !error.transient && error.status !== 409;
    this.report("failed");
    if (!this.refused) this.timers.arm("retry", this.backOff.next(), () => void this.run());
  }

  private report(status: OlderStatus): void {
    const newestFirst = [...this.stretches].sort(([left], [right]) => right - left);
    const looks = this.looks();
    const lasting = newestFirst.map(([, { drawings }]) =>
      drawings.filter((drawing) => isLasting(drawing, looks)),
    );
    this.listener({ drawings: joined(lasting, looks), status });
  }
}

/** What reaches to the newest candle of a stretch by itself is valid at that candle only. */
function isLasting({ id, definition }: Drawing, looks: Looks): boolean {
  if (looks.of(id, definition.feature).momentary === true) return false;
  return !("extendRight" in definition && definition.extendRight);
}

/** Each id once, in its newest version; parts of a continuing line that meet are joined. */
export function joined(newestFirst: readonly (readonly Drawing[])[], looks: Looks): Drawing[] {
  const byId = new Map<string, Drawing>();
  for (const drawing of newestFirst.flat()) {
    const held = byId.get(drawing.id);
    if (held === undefined) byId.set(drawing.id, drawing);
    else {
      const { chained: isChained } = looks.of(drawing.id, drawing.definition.feature);
      byId.set(drawing.id, continuedOnce(held, drawing, isChained === true));
    }
  }
  return [...byId.values()];
}

/** By the newer definition: the same parts give the same object, which stays laid out. */
const known = new WeakMap<Definition, Continued>();

interface Continued {
  readonly older: Definition;
  readonly isChained: boolean;
  readonly whole: Drawing;
}

function continuedOnce(newer: Drawing, older: Drawing, isChained: boolean): Drawing {
  const before = known.get(newer.definition);
  if (before?.older === older.definition && before.isChained === isChained) return before.whole;
  const whole = continued(newer, older, isChained);
  known.set(newer.definition, { older: older.definition, isChained, whole });
  return whole;
}

function continued(newer: Drawing, older: Drawing, isChained: boolean): Drawing {
  const [now, before] = [newer.definition, older.definition];
  if (now.type === "line" && before.type === "line") {
    return { id: newer.id, definition: grown(now, before) };
  }
  return isChained && now.type === "polyline" ? chained(newer, older) : newer;
}

/** A line with its older points, if it is the same one. */
function grown(newer: LineDefinition, older: LineDefinition): LineDefinition {
  const first = newer.points[0]?.time ?? Infinity;
  const before = older.points.filter(({ time }) => time < first);
  if (newer.start !== older.start || before.length === 0) return newer;
  return { ...newer, points: [...before, ...newer.points] };
}

/** The newer line, preceded by the older one if they meet. */
function chained(newer: Drawing, older: Drawing): Drawing {
  const definition = newer.definition as PolylineDefinition;
  const [first] = definition.points as [DrawPoint];
  const { points } = older.definition as PolylineDefinition;
  const before = points.filter(({ time }) => time < first.time);
  const meets = (points.at(-1) as DrawPoint).time >= first.time;
  if (!meets || before.length === 0) return newer;
  return { id: newer.id, definition: { ...definition, points: [...before, ...definition.points] } };
}
