/** The server's factors, in the order of its catalog. */

import { parseLook, type FeatureLook, type Look } from "../drawings/look";
import { shownLanguage } from "../i18n/words";

export interface Feature {
  readonly key: string;
  readonly label: string;
  readonly defaultVisible: boolean;
  readonly description?: string;
  readonly look?: Look;
  readonly variants?: ReadonlyMap<string, Look>;
}

export interface Factor extends Feature {
  readonly subFeatures: readonly Feature[];
}

type Json = Record<string, unknown>;

/** The catalog in the language of the page, or null when the answer is not one. */
export function parseCatalog(value: unknown): Factor[] | null {
  const factors = objectAt(value, "factors");
  if (!Array.isArray(factors)) return null;
  const more = objectAt(value, "features");
  return factors.flatMap((item: Json) =>
    features([item], more).map((factor) => ({
      ...factor,
      subFeatures: features(item["sub_features"], more),
    })),
  );
}

/** The looks of all features; each is titled with its factor. */
export function looksOf(factors: readonly Factor[]): Map<string, FeatureLook> {
  return new Map(
    factors.flatMap((factor) =>
      factor.subFeatures.map((feature) => [
        feature.key,
        {
          title: `${factor.label} · ${feature.label}`,
          description: feature.description ?? "",
          look: feature.look ?? {},
          variants: feature.variants ?? new Map(),
        },
      ]),
    ),
  );
}

function features(items: unknown, more: unknown): Feature[] {
  if (!Array.isArray(items)) return [];
  return items.flatMap((item: Json | null) => {
    const key = item?.["key"];
    if (typeof key !== "string" || key === "") return [];
    const label = typeof item?.["label"] === "string" ? item["label"] : key;
    const plain = { key, label, defaultVisible: item?.["default_visible"] !== false };
    return [{ ...plain, ...furtherOf(objectAt(more, key)) }];
  });
}

/** Look and words of a feature; the words of the page's language win. */
function furtherOf(more: unknown): Partial<Feature> {
  if (more === undefined) return {};
  const translated = objectAt(objectAt(more, "translations"), shownLanguage());
  const label = objectAt(translated, "label");
  const description = objectAt(translated, "description") ?? objectAt(more, "description");
  const variants = Object.entries((objectAt(more, "variants") ?? {}) as Json);
  return {
    ...(typeof label === "string" ? { label } : {}),
    ...(typeof description === "string" ? { description } : {}),
    look: parseLook(objectAt(more, "look")),
    variants: new Map(variants.map(([name, look]) => [name, parseLook(look)])),
  };
}

function objectAt(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Json)[name];
}
