/**
 * Short texts that change with each price or second, painted on one canvas over the element that
 * holds them.
 *
 * Changing the text of an element makes the browser lay out and paint the page, which costs as much
 * as half a frame of the chart. Here the browser lays out a place for each text, and does so again
 * only when the text needs another size. The place has the text as its label for screen readers, to
 * which no style applies.
 */

import { element } from "./dom";

/** How the style sheet wants the texts. */
interface Look {
  readonly font: string;
  readonly spacing: string;
  readonly color: string;
  /** Pixels of the canvas to one of the page. */
  readonly scale: number;
}

/** Pixels of the page, from the corner of the root. */
interface Box {
  left: number;
  top: number;
  width: number;
}

/** Less than a figure, so that a price with fewer of them gets a smaller place, pixels. */
export const PRICE_SLACK_PX = 5;

export class PaintedTexts {
  private readonly root: HTMLElement;
  private readonly canvas = element("canvas", { class: "painted-canvas" });
  private readonly context: CanvasRenderingContext2D | null;
  private readonly observer = new ResizeObserver(() => this.arrange());
  private texts: readonly PaintedText[] = [];
  /** By token. */
  private readonly looks = new Map<string, Look>();
  /** Of single characters: measuring a text takes longer than painting it. */
  private readonly widths = new Map<string, number>();
  private ascent = 0;
  private descent = 0;
  private isArranged = false;
  /** In which the canvas paints now. */
  private color = "";

  /** Paints over `root`, which is positioned, and gives the texts their look. */
  constructor(root: HTMLElement) {
    this.root = root;
    root.append(this.canvas);
    this.context = this.canvas.getContext("2d");
    this.observer.observe(root);
  }

  /**
   * Adds a text in a place at the end of `parent`, which is within the root. The place shrinks when
   * it is wider than the text by more than `slackPx`.
   */
  add(parent: HTMLElement, slackPx: number): PaintedText {
    const text = new PaintedText(parent, slackPx, this);
    this.texts = [...this.texts, text];
    return text;
  }

  /** Paints these texts no more; their places are removed by the caller. */
  remove(texts: readonly PaintedText[]): void {
    this.texts = this.texts.filter((text) => !texts.includes(text));
    this.arrangeSoon();
  }

  /** Takes over what changed of the style sheet, the theme or the screen. */
  restyle(): void {
    const [token, before] = [...this.looks][0] ?? ["", null];
    if (before === null) return;
    const look = lookOf(this.root, token);
    const names = Object.keys(look) as (keyof Look)[];
    if (names.every((name) => look[name] === before[name])) return;
    this.looks.clear();
    this.widths.clear();
    this.ascent = 0;
    for (const text of this.texts) text.fit();
    this.arrange();
  }

  /** Paints a text that changed; once all are arranged again if its place has another size. */
  changed(text: PaintedText): void {
    if (text.fit()) this.arrangeSoon();
    else if (this.isArranged) this.paint(text);
  }

  /** The room that a text needs, pixels. */
  sizeOf(text: string, token: string): { width: number; ascent: number; descent: number } {
    this.lookOf(token);
    const width = Math.ceil([...text].reduce((sum, each) => sum + this.widthOf(each), 0));
    return { width, ascent: this.ascent, descent: this.descent };
  }

  /** The browser reports a size that is observed anew with the next frame, after its layout. */
  private arrangeSoon(): void {
    this.isArranged = false;
    this.observer.unobserve(this.root);
    this.observer.observe(this.root);
  }

  private arrange(): void {
    const { canvas, context, root } = this;
    if (context === null || this.looks.size === 0) return;
    for (const text of this.texts) text.locate();
    const { offsetWidth: width, offsetHeight: height } = root;
    // Setting a size empties the canvas, and forgets how it draws.
    canvas.width = Math.ceil(width * window.devicePixelRatio);
    canvas.height = Math.ceil(height * window.devicePixelRatio);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    dress(context, [...this.looks.values()][0] as Look);
    this.isArranged = true;
    this.color = "";
    for (const text of this.texts) this.paint(text);
  }

  private paint({ text, token, box }: PaintedText): void {
    const { context, ascent, descent } = this;
    if (context === null) return;
    const { color } = this.lookOf(token);
    if (color !== this.color) context.fillStyle = color;
    this.color = color;
    context.clearRect(box.left, box.top, box.width, ascent + descent);
    context.fillText(text, box.left, box.top + ascent);
  }

  /** Looks differ in their colours only. */
  private lookOf(token: string): Look {
    const look = this.looks.get(token) ?? lookOf(this.root, token);
    this.looks.set(token, look);
    if (this.ascent === 0 && this.context !== null) {
      dress(this.context, look);
      const measured = this.context.measureText("0");
      this.ascent = Math.ceil(measured.fontBoundingBoxAscent);
      this.descent = Math.ceil(measured.fontBoundingBoxDescent);
    }
    return look;
  }

  private widthOf(character: string): number {
    const width = this.widths.get(character) ?? this.context?.measureText(character).width ?? 0;
    this.widths.set(character, width);
    return width;
  }
}

/** One of several texts on a canvas. */
export class PaintedText {
  text = "";
  token = "";
  readonly box: Box = { left: 0, top: 0, width: 0 };
  private readonly texts: PaintedTexts;
  private readonly slackPx: number;
  /** Nothing is painted on it. */
  private readonly place = element("canvas", { attributes: { role: "img" } });

  constructor(parent: HTMLElement, slackPx: number, texts: PaintedTexts) {
    this.slackPx = slackPx;
    this.texts = texts;
    parent.append(this.place);
  }

  /** Shows a text in the colour of a token of the style sheet, or in that of the root. */
  show(text: string, token = ""): void {
    if (text === this.text && token === this.token) return;
    this.text = text;
    this.token = token;
    this.place.setAttribute("aria-label", text);
    this.texts.changed(this);
  }

  /** Gives the place the size of the text, if it needs another; returns whether it did. */
  fit(): boolean {
    const { width, ascent, descent } = this.texts.sizeOf(this.text, this.token);
    const { style } = this.place;
    const height = `${ascent + descent}px`;
    const isWide = width <= this.box.width && width >= this.box.width - this.slackPx;
    if (isWide && style.height === height) return false;
    this.box.width = width;
    // The baseline of the text becomes that of the place.
    Object.assign(style, { width: `${width}px`, height, marginBottom: `${-descent}px` });
    return true;
  }

  /** Reads where the place is; one that is not displayed is beside the canvas. */
  locate(): void {
    this.box.left = this.place.checkVisibility() ? this.place.offsetLeft : -this.box.width;
    this.box.top = this.place.offsetTop;
  }
}

function dress(context: CanvasRenderingContext2D, { font, spacing, scale }: Look): void {
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.font = font;
  context.letterSpacing = spacing;
}

function lookOf(root: HTMLElement, token: string): Look {
  const style = getComputedStyle(root);
  return {
    font: `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`,
    spacing: style.letterSpacing === "normal" ? "0px" : style.letterSpacing,
    color: token === "" ? style.color : style.getPropertyValue(token).trim(),
    scale: window.devicePixelRatio,
  };
}
