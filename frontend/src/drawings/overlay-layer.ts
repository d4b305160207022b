/** The drawings on the chart: markers by the library's plugin, the rest by one primitive. */

import {
  createSeriesMarkers,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  type SeriesMarker,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";

import { DrawingPrimitive } from "./drawing-primitive";
import type { Ink } from "./ink";
import {
  idsByFeature,
  type Scene,
  type SceneLine,
  type SceneMarker,
  type SceneZone,
} from "./scene";

/** The drawings on the chart. */
export interface HeldScene {
  readonly markers: readonly SeriesMarker<Time>[];
  readonly lines: readonly SceneLine[];
  readonly zones: readonly SceneZone[];
}

export class OverlayLayer {
  private readonly primitive: DrawingPrimitive;
  private readonly plugin: ISeriesMarkersPluginApi<Time>;
  private markers: readonly SceneMarker[] = [];

  private readonly series: ISeriesApi<"Candlestick">;
  private ink: Ink;

  constructor(series: ISeriesApi<"Candlestick">, ink: Ink) {
    this.series = series;
    this.ink = ink;
    this.primitive = new DrawingPrimitive(ink);
    series.attachPrimitive(this.primitive);
    this.plugin = createSeriesMarkers(series, [], { zOrder: "aboveSeries" });
  }

  show(scene: Scene): void {
    this.primitive.show(scene);
    if (sameMarkers(this.markers, scene.markers)) return;
    this.markers = scene.markers;
    this.setMarkers();
  }

  /** Draws in other colours from now on. */
  restyle(ink: Ink): void {
    this.ink = ink;
    this.primitive.restyle(ink);
    this.setMarkers();
  }

  private setMarkers(): void {
    this.plugin.setMarkers(this.markers.map((marker) => markerRow(marker, this.ink)));
  }

  /** Removes everything from the chart. */
  remove(): void {
    this.series.detachPrimitive(this.primitive);
    this.plugin.detach();
  }

  /** Ids of the drawings on the chart by feature; markers are read back from the library. */
  drawn(): Record<string, string[]> {
    const features = new Map(this.markers.map(({ id, definition }) => [id, definition.feature]));
    const markers = this.plugin.markers().map(({ id = "" }) => {
      return { id, feature: features.get(id) ?? "" };
    });
    const { lines, anchors } = this.primitive.scene;
    return idsByFeature([...markers, ...lines, ...anchors]);
  }

  get scene(): Scene {
    return this.primitive.scene;
  }

  /** The drawings on the chart; markers are read back from the library. */
  held(): HeldScene {
    const { lines, anchors, zones } = this.primitive.scene;
    return { markers: this.plugin.markers(), lines: [...lines, ...anchors], zones };
  }
}

function markerRow({ id, definition }: SceneMarker, ink: Ink): SeriesMarker<Time> {
  const { time, position, shape, color, text, size } = definition;
  return { id, time: time as UTCTimestamp, position, shape, color: ink(color), text, size };
}

/** Definitions of one version are the same object, so identity is enough. */
function sameMarkers(left: readonly SceneMarker[], right: readonly SceneMarker[]): boolean {
  return (
    left.length === right.length &&
    left.every((marker, index) => marker.definition === right[index]?.definition)
  );
}
