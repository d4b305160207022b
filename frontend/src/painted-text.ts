/**
 * A short text that changes with each price, painted on a canvas of its own.
 *
 * Changing the text of an element makes the browser lay out and paint the page, which costs as much
 * as half a frame of the chart. Here the text is the content of the canvas, which screen readers
 * read and the browser does not lay out.
 */

import { element, setText } from "./dom";

/** How the style sheet wants the text. */
interface Look {
  readonly font: string;
  readonly spacing: string;
  readonly color: string;
  readonly shadow: string;
  readonly scale: number;
}

interface Size {
  readonly width: number;
  readonly ascent: number;
  readonly descent: number;
  /** Pixels of the canvas to one of the page. */
  readonly scale: number;
}

/** Less than a figure, so that a price with fewer of them gets a smaller place, pixels. */
export const PRICE_SLACK_PX = 5;
const SHADOW_PX = 4;

export class PaintedText {
  readonly root: HTMLElement;
  private readonly slackPx: number;
  private readonly canvas = element("canvas");
  private readonly context: CanvasRenderingContext2D | null;
  private text = "";
  private mood: string | null = null;
  private look: Look | null = null;
  private size: Size = { width: 0, ascent: 0, descent: 0, scale: 0 };

  /**
   * Puts the text into `root`, which gives it its look and its baseline. The place of the text
   * shrinks when it is wider than the text by more than `slackPx`.
   */
  constructor(root: HTMLElement, slackPx: number) {
    this.slackPx = slackPx;
    this.root = root;
    root.append(this.canvas);
    this.context = this.canvas.getContext("2d");
  }

  /** Shows a text; with another `mood` the style sheet may want another colour. */
  show(text: string, mood = ""): void {
    if (mood !== this.mood) this.look = null;
    else if (text === this.text) return;
    this.mood = mood;
    this.text = text;
    setText(this.canvas, text);
    this.paint();
  }

  /** Takes over what changed of the style sheet, the theme or the screen. */
  restyle(): void {
    const before = this.look;
    if (before === null) return;
    const look = lookOf(this.canvas);
    const names = Object.keys(look) as (keyof Look)[];
    if (names.every((name) => look[name] === before[name])) return;
    this.look = null;
    this.paint();
  }

  private paint(): void {
    const { context, text } = this;
    if (context === null) return;
    this.look ??= this.prepared(context);
    const { scale, color, shadow } = this.look;
    const measured = context.measureText(text);
    const [ascent, descent] = [measured.fontBoundingBoxAscent, measured.fontBoundingBoxDescent];
    this.fit({
      width: Math.ceil(measured.width),
      ascent: Math.ceil(ascent),
      descent: Math.ceil(descent),
      scale,
    });
    context.clearRect(0, 0, this.size.width, this.size.ascent + this.size.descent);
    context.shadowColor = shadow;
    context.shadowBlur = shadow === "" ? 0 : SHADOW_PX * scale;
    context.fillStyle = color;
    context.fillText(text, 0, this.size.ascent);
  }

  /** Reads the look from the style sheet. */
  private prepared(context: CanvasRenderingContext2D): Look {
    const look = lookOf(this.canvas);
    context.setTransform(look.scale, 0, 0, look.scale, 0, 0);
    context.font = look.font;
    context.letterSpacing = look.spacing;
    return look;
  }

  /** The canvas grows with its text, whose baseline becomes that of the canvas. */
  private fit(needed: Size): void {
    const { context, size } = this;
    const isHigh = needed.ascent === size.ascent && needed.descent === size.descent;
    const isWide = needed.width <= size.width && needed.width >= size.width - this.slackPx;
    if (context === null || (isHigh && isWide && needed.scale === size.scale)) return;
    this.size = needed;
    const { width, ascent, descent, scale } = needed;
    // Another size empties the canvas, and forgets how it draws.
    this.canvas.width = Math.ceil(width * scale);
    this.canvas.height = Math.ceil((ascent + descent) * scale);
    this.prepared(context);
    Object.assign(this.canvas.style, {
      width: `${width}px`,
      height: `${ascent + descent}px`,
      marginBottom: `${-descent}px`,
    });
  }
}

function lookOf(root: HTMLElement): Look {
  const style = getComputedStyle(root);
  return {
    font: `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`,
    spacing: style.letterSpacing === "normal" ? "0px" : style.letterSpacing,
    color: style.color,
    shadow: /^rgba?\([^)]*\)/.exec(style.textShadow)?.[0] ?? "",
    scale: window.devicePixelRatio,
  };
}
