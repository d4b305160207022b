/** What everything has in common that is painted on the chart beside the library's series. */

import type {
  IPrimitivePaneView,
  ISeriesPrimitive,
  SeriesAttachedParameter,
  Time,
} from "lightweight-charts";

/** The canvas that a pane view is painted on. */
export type Target = Parameters<
  NonNullable<ReturnType<IPrimitivePaneView["renderer"]>>["draw"]
>[0];

export abstract class Primitive implements ISeriesPrimitive<Time> {
  protected attachment: SeriesAttachedParameter<Time> | null = null;
  protected abstract readonly views: readonly IPrimitivePaneView[];

  attached(attachment: SeriesAttachedParameter<Time>): void {
    this.attachment = attachment;
  }

  detached(): void {
    this.attachment = null;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  /**
   * Draws the pane with the next frame.
   *
   * `requestUpdate` would measure the whole chart as well, after which the library draws a chart of
   * several panes a second time.
   */
  protected repaint(): void {
    this.attachment?.series.applyOptions({});
  }
}
