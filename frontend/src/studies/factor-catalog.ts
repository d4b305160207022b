/** The server's factors, in the order of its catalog. */

export interface Feature {
  readonly key: string;
  readonly label: string;
  readonly defaultVisible: boolean;
}

export interface Factor extends Feature {
  readonly subFeatures: readonly Feature[];
}

type Json = Record<string, unknown>;

/** The catalog, or null when the answer is not one. */
export function parseCatalog(value: unknown): Factor[] | null {
  const factors = (value as Json | null)?.["factors"];
  if (!Array.isArray(factors)) return null;
  return factors.flatMap((item: Json) =>
    features([item]).map((factor) => ({ ...factor, subFeatures: features(item["sub_features"]) })),
  );
}

function features(items: unknown): Feature[] {
  if (!Array.isArray(items)) return [];
  return items.flatMap((item: Json | null) => {
    const key = item?.["key"];
    if (typeof key !== "string" || key === "") return [];
    const label = typeof item?.["label"] === "string" ? item["label"] : key;
    return [{ key, label, defaultVisible: item?.["default_visible"] !== false }];
  });
}
