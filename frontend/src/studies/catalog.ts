/** Reads the server's catalog of factors; tries again until the server answers. */

import { asApiError } from "../sync/api";
import { BackOff } from "../sync/back-off";
import type { Clock } from "../sync/ports";
import type { Factor } from "./factor-catalog";

export interface CatalogDependencies {
  readonly api: { factorCatalog(): Promise<Factor[]> };
  readonly clock: Clock;
  readonly random: () => number;
}

/** Calls `onCatalog` once; never where the server has no catalog. */
export async function readCatalog(
  { api, clock, random }: CatalogDependencies,
  onCatalog: (catalog: readonly Factor[]) => void,
): Promise<void> {
  const backOff = new BackOff(2_000, 60_000, random);
  for (;;) {
    try {
      onCatalog(await api.factorCatalog());
      return;
    } catch (error) {
      if (!asApiError(error).transient) return;
      await new Promise<void>((resolve) => clock.setTimeout(resolve, backOff.next()));
    }
  }
}
