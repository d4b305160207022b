/** Draws a pane of the chart again. */

import type { SeriesAttachedParameter, Time } from "lightweight-charts";

/**
 * Draws the pane of a primitive with the next frame.
 *
 * Its `requestUpdate` would measure the whole chart as well, after which the library draws a chart
 * of several panes a second time.
 */
export function repaint({ series }: SeriesAttachedParameter<Time>): void {
  series.applyOptions({});
}
