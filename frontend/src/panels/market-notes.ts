/** What the market panel notes below its rows: what is missing of them, and why. */

import { placeName, t } from "../i18n/words";
import type { Listing, ListingState } from "../sync/symbols";

const LISTED_VENUES = 4;

/** Names the venues whose listing is in a state; empty without one. */
export function venuesText(text: string, listings: readonly Listing[], state: ListingState): string {
  const venues = listings
    .filter((listing) => listing.state === state)
    .map(placeName);
  if (venues.length === 0) return "";
  const named = venues.slice(0, LISTED_VENUES).join(", ");
  return text.replace("{venues}", venues.length > LISTED_VENUES ? `${named}…` : named);
}

/** Why there are no figures: by the status of the answer. */
export function problemText(status: number): string {
  if (status === 400) return t("This exchange gives no market ranking; whitelisted series only.");
  return t("Market figures are not available right now; trying again.");
}
