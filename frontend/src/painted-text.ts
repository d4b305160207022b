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
  /** Pixels of the canvas to one of the page. */
  readonly scale: number;
}

/** Pixels of the page. */
interface Size {
  readonly width: number;
  readonly ascent: number;
  readonly descent: number;
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
  private token = "";
  /** By token. */
  private readonly looks = new Map<string, Look>();
  /** Of single characters: measuring a text takes longer than painting it. */
  private readonly widths = new Map<string, number>();
  private size: Size = { width: 0, ascent: 0, descent: 0 };

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

  /** Shows a text in the colour of a token of the style sheet, or in that of its root. */
  show(text: string, token = ""): void {
    if (text === this.text && token === this.token) return;
    this.text = text;
    this.token = token;
    setText(this.canvas, text);
    this.paint();
  }

  /** Takes over what changed of the style sheet, the theme or the screen. */
  restyle(): void {
    const before = this.looks.get(this.token);
    if (before === undefined) return;
    const look = lookOf(this.root, this.token);
    const names = Object.keys(look) as (keyof Look)[];
    if (names.every((name) => look[name] === before[name])) return;
    this.looks.clear();
    this.widths.clear();
    this.size = { width: 0, ascent: 0, descent: 0 };
    this.paint();
  }

  private paint(): void {
    const { context, text, token } = this;
    if (context === null) return;
    const look = this.looks.get(token) ?? lookOf(this.root, token);
    this.looks.set(token, look);
    this.fit(context, look);
    const { width, ascent, descent } = this.size;
    context.clearRect(0, 0, width, ascent + descent);
    context.fillStyle = look.color;
    context.fillText(text, 0, ascent);
  }

  /** The canvas grows with its text, whose baseline becomes that of the canvas. */
  private fit(context: CanvasRenderingContext2D, look: Look): void {
    const isFirst = this.size.ascent === 0;
    if (isFirst) dress(context, look);
    const needed = Math.ceil([...this.text].reduce((sum, each) => sum + this.widthOf(each), 0));
    const { width } = this.size;
    if (!isFirst && needed <= width && needed >= width - this.slackPx) return;
    const { fontBoundingBoxAscent, fontBoundingBoxDescent } = context.measureText(this.text);
    const ascent = Math.ceil(fontBoundingBoxAscent);
    const descent = Math.ceil(fontBoundingBoxDescent);
    this.size = { width: needed, ascent, descent };
    // Another size empties the canvas, and forgets how it draws.
    this.canvas.width = Math.ceil(needed * look.scale);
    this.canvas.height = Math.ceil((ascent + descent) * look.scale);
    dress(context, look);
    Object.assign(this.canvas.style, {
      width: `${needed}px`,
      height: `${ascent + descent}px`,
      marginBottom: `${-descent}px`,
    });
  }

  private widthOf(character: string): number {
    const width = this.widths.get(character) ?? this.context?.measureText(character).width ?? 0;
    this.widths.set(character, width);
    return width;
  }
}

function dress(context: CanvasRenderingContext2D, { font, spacing, shadow, scale }: Look): void {
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.font = font;
  context.letterSpacing = spacing;
  context.shadowColor = shadow;
  context.shadowBlur = shadow === "" ? 0 : SHADOW_PX * scale;
}

function lookOf(root: HTMLElement, token: string): Look {
  const style = getComputedStyle(root);
  return {
    font: `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`,
    spacing: style.letterSpacing === "normal" ? "0px" : style.letterSpacing,
    color: token === "" ? style.color : style.getPropertyValue(token).trim(),
    shadow: /^rgba?\([^)]*\)/.exec(style.textShadow)?.[0] ?? "",
    scale: window.devicePixelRatio,
  };
}
