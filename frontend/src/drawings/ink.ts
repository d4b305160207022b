/**
 * Colours of drawings on a background: an ink has a shade in each theme, and a CSS colour that can't
 * be seen on the background is replaced.
 */

/** A colour as it is drawn. */
export type Ink = (color: string) => string;

/** Names of inks, with their shades. */
export type Inks = Readonly<Record<string, string>>;

export const INK_NAMES = [
  "text",
  "muted",
  "up",
  "down",
  "blue",
  "teal",
  "violet",
  "pink",
  "amber",
] as const;

/** Below this contrast (1 to 21, WCAG 2) a thin line can hardly be seen. */
const LEAST_CONTRAST = 1.6;

/** Replaces colours that can't be seen on `background` by `text`; both are `#rrggbb` or `#rgb`. */
export function inkOn(background: string, text: string, inks: Inks = {}): Ink {
  const ground = luminance(background);
  const seen = (color: string): string => {
    const light = luminance(color);
    if (ground === null || light === null) return color;
    const [upper, lower] = light > ground ? [light, ground] : [ground, light];
    return (upper + 0.05) / (lower + 0.05) < LEAST_CONTRAST ? text : color;
  };
  // Each of few colours is asked for with every frame.
  const known = new Map<string, string>();
  return (color) => {
    const shade = inks[color] || (known.get(color) ?? seen(color));
    known.set(color, shade);
    return shade;
  };
}

/** Whether a colour is an ink. */
export function isInk(color: string): boolean {
  return (INK_NAMES as readonly string[]).includes(color);
}

/** Relative luminance of a colour, 0 to 1; null for other notations. */
function luminance(color: string): number | null {
  const short = /^#([\da-f])([\da-f])([\da-f])$/i.exec(color);
  const full = short ? `#${short.slice(1).map((digit) => digit + digit).join("")}` : color;
  const parts = /^#([\da-f]{2})([\da-f]{2})([\da-f]{2})$/i.exec(full);
  if (parts === null) return null;
  const [red, green, blue] = parts.slice(1).map((part) => linear(parseInt(part, 16) / 255)) as [
    number,
    number,
    number,
  ];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function linear(part: number): number {
  return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
}
