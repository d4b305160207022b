/** What keys step through on a chart: its candles, which are read out, and its drawings. */

import { element, setText } from "../dom";
import { t } from "../i18n/words";
import type { Candle } from "trade-canvas-client/candle";
import type { CandleCursor } from "./candle-cursor";
import type { Study } from "../studies/study";

export interface Stepped {
  readonly cursor: CandleCursor;
  readonly studies: readonly Study[];
  /** A candle in words. */
  textOf(candle: Candle): string;
  /** The crosshair is on a candle, by its time (UTC seconds), or on none any more. */
  pointed(time: number | null): void;
  notice(text: string): void;
}

export class KeySteps {
  /** Read out by screen readers when it changes. */
  readonly root = element("div", { class: "spoken", attributes: { role: "status" } });
  private readonly stepped: Stepped;

  constructor(stepped: Stepped) {
    this.stepped = stepped;
  }

  /** Puts the crosshair on the next candle, or with -1 the one before, and reads it out. */
  candle(by: 1 | -1): void {
    this.leaveDrawings();
    const candle = this.stepped.cursor.step(by);
    if (candle === null) return;
    setText(this.root, this.stepped.textOf(candle));
    this.stepped.pointed(candle.candle_time);
  }

  /** Shows what the next drawing in view is, or with -1 the one before. */
  drawing(by: 1 | -1): void {
    this.leaveCandle();
    const isShown = this.stepped.studies.some((study) => study.stepDrawing?.(by));
    if (!isShown) this.stepped.notice(t("No drawing in view"));
  }

  /** Ends what keys stepped to; returns whether there was anything. */
  leave(): boolean {
    return this.leaveCandle() || this.leaveDrawings();
  }

  private leaveDrawings(): boolean {
    return this.stepped.studies.some((study) => study.leaveDrawings?.());
  }

  private leaveCandle(): boolean {
    setText(this.root, "");
    if (!this.stepped.cursor.leave()) return false;
    this.stepped.pointed(null);
    return true;
  }
}
