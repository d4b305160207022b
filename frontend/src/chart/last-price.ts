/** The last price on the chart: a line, its label on the axis, and a countdown under the label. */

import type { IPrimitivePaneView, ISeriesPrimitiveAxisView } from "lightweight-charts";

import { Primitive, type Target } from "./primitive";

/** The last price as it is shown. */
export interface LastPriceLook {
  readonly price: number;
  readonly text: string;
  /** Colour of the line and of the label. */
  readonly color: string;
  /** Time left until the candle closes; null without one. */
  readonly countdown: string | null;
  readonly countdownColor: string;
}

/** Distance from the middle of the price's label to that of the countdown, pixels. */
const COUNTDOWN_OFFSET = 18;
const DOTS = [1, 3];
/** Keeps the automatic placement of other labels away from these, which are placed by hand. */
const AWAY = -10_000;

/**
 * Unlike the label of the library it shows the newest price also when the newest candle is out of
 * view.
 */
export class LastPrice extends Primitive {
  private look: LastPriceLook | null = null;
  private readonly labels = [this.label(), this.countdown()];
  protected readonly views: readonly IPrimitivePaneView[] = [
    { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.drawLine(target) }) },
  ];

  /**
   * Shows another price; null hides everything. It is drawn with the next frame of the chart, which
   * is requested here unless the chart changes anyway.
   */
  show(look: LastPriceLook | null, chartChanges: boolean): void {
    const same = look === this.look || (look !== null && isSame(look, this.look));
    if (same) return;
    // A longer label may need a wider axis, which a new candle alone does not measure.
    const isWider = (look?.text.length ?? 0) > (this.look?.text.length ?? 0);
    this.look = look;
    if (isWider) this.attachment?.requestUpdate();
    else if (!chartChanges) this.repaint();
  }

  /** What is shown, for tests. */
  get shown(): LastPriceLook | null {
    return this.look;
  }

  priceAxisViews(): readonly ISeriesPrimitiveAxisView[] {
    return this.labels;
  }

  private y(): number | null {
    return this.look && (this.attachment?.series.priceToCoordinate(this.look.price) ?? null);
  }

  private label(): ISeriesPrimitiveAxisView {
    return {
      coordinate: () => AWAY,
      fixedCoordinate: () => this.y() ?? AWAY,
      text: () => this.look?.text ?? "",
      textColor: () => "#ffffff",
      backColor: () => this.look?.color ?? "",
      visible: () => this.y() !== null,
    };
  }

  private countdown(): ISeriesPrimitiveAxisView {
    return {
      coordinate: () => AWAY,
      fixedCoordinate: () => (this.y() ?? AWAY) + COUNTDOWN_OFFSET,
      text: () => this.look?.countdown ?? "",
      textColor: () => "#ffffff",
      backColor: () => this.look?.countdownColor ?? "",
      visible: () => this.y() !== null && this.look?.countdown != null,
      tickVisible: () => false,
    };
  }

  private drawLine(target: Target): void {
    const y = this.y();
    if (y === null) return;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      context.save();
      context.strokeStyle = this.look?.color ?? "";
      context.setLineDash(DOTS);
      context.beginPath();
      context.moveTo(0, Math.round(y) + 0.5);
      context.lineTo(mediaSize.width, Math.round(y) + 0.5);
      context.stroke();
      context.restore();
    });
  }
}

function isSame(left: LastPriceLook, right: LastPriceLook | null): boolean {
  const names = Object.keys(left) as (keyof LastPriceLook)[];
  return right !== null && names.every((name) => left[name] === right[name]);
}
