/** How drawings are shown, as the server's catalog has it: the page knows no factor by name. */

/** What is not set is left to the instruction. */
export interface Look {
  /** CSS colour or ink, instead of the instruction's. */
  readonly color?: string;
  /** Pixels. */
  readonly width?: number;
  readonly opacity?: number;
  readonly dashed?: boolean;
  readonly fillOpacity?: number;
  /** Id endings of two lines: the upper and lower edge of a filled area. */
  readonly area?: readonly [string, string];
  /** Below 0: under the candles; above 0: over all else, higher ones last. */
  readonly layer?: number;
  /** Lines have a light edge. */
  readonly halo?: boolean;
  /** Lines are drawn beyond the loaded candles. */
  readonly unclipped?: boolean;
  /** Lines that extend right reach the price axis. */
  readonly toAxis?: boolean;
  /** Stands at the axis, before the price. */
  readonly name?: string;
  /** Valid at the newest candle only. */
  readonly momentary?: boolean;
  /** Lines of one id continue each other from stretch to stretch. */
  readonly chained?: boolean;
}

/** The words about a feature, in the language of the page. */
export interface FeatureWords {
  readonly title: string;
  readonly description: string;
}

export interface FeatureLook extends FeatureWords {
  readonly look: Look;
  /** Looks on top, by the word after the feature in an instruction's id. */
  readonly variants: ReadonlyMap<string, Look>;
}

const PLAIN: Look = {};

export class Looks {
  private readonly features: ReadonlyMap<string, FeatureLook>;
  private readonly merged = new Map<string, Look>();

  constructor(features: ReadonlyMap<string, FeatureLook>) {
    this.features = features;
  }

  /** The look of an instruction. */
  of(id: string, feature: string): Look {
    const known = this.features.get(feature);
    if (known === undefined) return PLAIN;
    const variant = id.startsWith(`${feature}:`) ? wordAfter(id, feature.length + 1) : "";
    const over = known.variants.get(variant);
    if (over === undefined) return known.look;
    const key = `${feature}:${variant}`;
    const look = this.merged.get(key) ?? { ...known.look, ...over };
    this.merged.set(key, look);
    return look;
  }

  /** What a feature is called; its key where the catalog does not have it. */
  words(feature: string): FeatureWords {
    return this.features.get(feature) ?? { title: feature, description: "" };
  }
}

export const NO_LOOKS = new Looks(new Map());

type Json = Record<string, unknown>;

/** Reads a look; fields that are malformed are left out. */
export function parseLook(value: unknown): Look {
  const given = (value ?? {}) as Json;
  const { area } = given;
  const isArea =
    Array.isArray(area) && area.length === 2 && area.every((end) => typeof end === "string");
  return {
    ...texts({ color: given["color"], name: given["name"] }),
    ...numbers({
      width: given["width"],
      opacity: given["opacity"],
      fillOpacity: given["fill_opacity"],
      layer: given["layer"],
    }),
    ...flags({
      dashed: given["dashed"],
      halo: given["halo"],
      unclipped: given["unclipped"],
      toAxis: given["to_axis"],
      momentary: given["momentary"],
      chained: given["chained"],
    }),
    ...(isArea ? { area: area as [string, string] } : {}),
  };
}

const only = (given: Json, fits: (value: unknown) => boolean): Json =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => fits(value)));
const texts = (given: Json): Json => only(given, (value) => typeof value === "string");
const numbers = (given: Json): Json => only(given, (value) => Number.isFinite(value));
const flags = (given: Json): Json => only(given, (value) => value === true);

function wordAfter(id: string, start: number): string {
  const end = id.indexOf(":", start);
  return end < 0 ? id.slice(start) : id.slice(start, end);
}
