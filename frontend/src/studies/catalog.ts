/** Reads the server's catalog of factors; tries again until the server answers. */

import { asApiError } from "trade-canvas-client/http";
import { BackOff } from "trade-canvas-client/back-off";
import type { Clock } from "trade-canvas-client/ports";
import type { Factor } from "./factor-catalog";
import type { FeatureSwitches } from "./feature-switches";

export interface CatalogDependencies {
  readonly api: { factorCatalog(): Promise<Factor[]> };
  readonly clock: Clock;
  readonly random: () => number;
}

/** Declares the catalog, and nothing after a first failure; ends where the server has none. */
export async function readCatalog(
  { api, clock, random }: CatalogDependencies,
  switches: Pick<FeatureSwitches, "isSettled" | "settle">,
): Promise<void> {
  const backOff = new BackOff(2_000, 60_000, random);
  for (;;) {
    try {
      switches.settle(await api.factorCatalog());
      return;
    } catch (error) {
      if (!switches.isSettled) switches.settle([]);
      if (!asApiError(error).transient) return;
      await new Promise<void>((resolve) => clock.setTimeout(resolve, backOff.next()));
    }
  }
}
