/** Colours of drawings on a background: one that can't be seen there is replaced. */

/** A colour as it is drawn. */
export type Ink = (color: string) => string;

/** Below this contrast (1 to 21, WCAG 2) a thin line can hardly be seen. */
const LEAST_CONTRAST = 1.6;

/** Replaces colours that can't be seen on `background` by `text`; both are `#rrggbb` or `#rgb`. */
export function inkOn(background: string, text: string): Ink {
  const ground = luminance(background);
  return (color) => {
    const light = luminance(color);
    if (ground === null || light === null) return color;
    const [upper, lower] = light > ground ? [light, ground] : [ground, light];
    return (upper + 0.05) / (lower + 0.05) < LEAST_CONTRAST ? text : color;
  };
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
