/** The volume of each candle, in a short pane of its own. */

import { t } from "../i18n/words";
import { ShownCandles } from "../chart/shown-candles";
import { addUnseenSeries, unseenRow, type UnseenSeries } from "../chart/unseen-series";
import { formatVolume } from "../i18n/format";
import type { Candle } from "trade-canvas-client/candle";
import type { ChartChange } from "trade-canvas-client/chart-change";
import type { ChartTheme } from "../chart/theme";
import type { SeriesState } from "trade-canvas-client/series-state";
import type { Factor } from "./factor-catalog";
import type { FeatureSwitches } from "./feature-switches";
import type { LegendEntry, Study, StudyHost } from "./study";
import { VolumeBars } from "./volume-bars";

const KEY = "volume";
/** Heights of the pane of prices and of this one, as shares. */
const PRICES_SHARE = 5;
const VOLUME_SHARE = 1;
/** Rows of the series that has the scale, before they are replaced by one. */
const MOST_ROWS = 100;

/** The volume as a feature that can be switched. */
export function volumeFeature(): Factor {
  return { key: KEY, label: t("Volume"), defaultVisible: true, subFeatures: [] };
}

export class VolumeStudy implements Study {
  private readonly switches: FeatureSwitches;
  private readonly unsubscribe: () => void;
  private readonly candles = new ShownCandles();
  private readonly bars = new VolumeBars(this.candles);
  private host: StudyHost | null = null;
  /** Has the pane and its scale: a volume of nothing at the newest candles. */
  private scale: UnseenSeries | null = null;
  private rows = 0;
  /** Time of its last row, UTC seconds. */
  private newest = -Infinity;
  private theme: ChartTheme | null = null;

  constructor(switches: FeatureSwitches) {
    this.switches = switches;
    this.unsubscribe = switches.subscribe(() => this.switched());
  }

  attach(host: StudyHost): void {
    this.host = host;
    this.theme = host.theme;
    this.bars.color = ({ open, close }) =>
      (close >= open ? this.theme?.upVolume : this.theme?.downVolume) ?? "";
    this.switched();
  }

  apply(state: SeriesState, change: ChartChange): void {
    this.candles.show(state);
    if (change.kind === "replace") this.replace();
    else if (change.kind === "update") {
      for (const { candle_time: time } of change.candles) this.follow(time);
    }
  }

  legend(candle: Candle): readonly LegendEntry[] {
    return this.scale === null ? [] : [{ name: "V", text: formatVolume(candle.volume) }];
  }

  restyle(theme: ChartTheme): void {
    this.theme = theme;
    this.scale?.applyOptions({});
  }

  detach(): void {
    this.unsubscribe();
    this.hide();
    this.host = null;
  }

  private switched(): void {
    if (this.host === null) return;
    const on = this.switches.visibility().get(KEY) !== false;
    if (on && this.scale === null) this.show(this.host);
    else if (!on) this.hide();
  }

  private show({ chart }: StudyHost): void {
    this.scale = addUnseenSeries(chart, { type: "volume" }, 1);
    this.scale.attachPrimitive(this.bars);
    this.scale.priceScale().applyOptions({ scaleMargins: { top: 0.1, bottom: 0 } });
    const [prices, own] = chart.panes();
    prices?.setStretchFactor(PRICES_SHARE);
    own?.setStretchFactor(VOLUME_SHARE);
    this.replace();
  }

  /** The pane goes with its series. */
  private hide(): void {
    if (this.scale !== null) this.host?.chart.removeSeries(this.scale);
    this.scale = null;
  }

  private replace(): void {
    const newest = this.candles.at(this.candles.count - 1);
    this.rows = newest === undefined ? 0 : 1;
    this.newest = newest?.candle_time ?? -Infinity;
    this.scale?.setData(newest === undefined ? [] : [unseenRow(newest.candle_time, 0)]);
  }

  /** The library scales a pane by series that have a row in view or later: the newest is enough. */
  private follow(time: number): void {
    if (time === this.newest) return; // It is painted again with the candles.
    this.rows += 1;
    this.newest = time;
    if (this.rows > MOST_ROWS) this.replace();
    else this.scale?.update(unseenRow(time, 0));
  }
}
