/** The volume of each candle, in a short pane of its own. */

import { t } from "../i18n/words";
import { HistogramSeries, type HistogramData, type UTCTimestamp } from "lightweight-charts";

import { SplitSeries } from "../chart/split-series";
import { formatVolume } from "../i18n/format";
import type { Candle } from "../sync/candle";
import type { ChartChange } from "../sync/chart-change";
import type { ChartTheme } from "../chart/theme";
import type { SeriesState } from "../sync/series-state";
import type { Factor } from "./factor-catalog";
import type { FeatureSwitches } from "./feature-switches";
import type { LegendEntry, Study, StudyHost } from "./study";

const KEY = "volume";
/** Heights of the pane of prices and of this one, as shares. */
const PRICES_SHARE = 5;
const VOLUME_SHARE = 1;

/** The volume as a feature that can be switched. */
export function volumeFeature(): Factor {
  return { key: KEY, label: t("Volume"), defaultVisible: true, subFeatures: [] };
}

export class VolumeStudy implements Study {
  private readonly switches: FeatureSwitches;
  private readonly unsubscribe: () => void;
  private host: StudyHost | null = null;
  private series: SplitSeries<"Histogram"> | null = null;
  private theme: ChartTheme | null = null;
  private state: SeriesState | null = null;

  constructor(switches: FeatureSwitches) {
    this.switches = switches;
    this.unsubscribe = switches.subscribe(() => this.switched());
  }

  attach(host: StudyHost): void {
    this.host = host;
    this.theme = host.theme;
    this.switched();
  }

  apply(state: SeriesState, change: ChartChange): void {
    this.state = state;
    if (change.kind === "replace") this.replace();
    else if (change.kind === "update") {
      for (const candle of change.candles) this.series?.update(this.row(candle));
    }
  }

  legend(candle: Candle): readonly LegendEntry[] {
    return this.series === null ? [] : [{ name: "V", text: formatVolume(candle.volume) }];
  }

  restyle(theme: ChartTheme): void {
    this.theme = theme;
    this.replace();
  }

  detach(): void {
    this.unsubscribe();
    this.hide();
    this.host = null;
  }

  private switched(): void {
    if (this.host === null) return;
    const on = this.switches.visibility().get(KEY) !== false;
    if (on && this.series === null) this.show(this.host);
    else if (!on) this.hide();
  }

  private show({ chart }: StudyHost): void {
    this.series = new SplitSeries(() =>
      chart.addSeries(
        HistogramSeries,
        { priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false },
        1,
      ),
    );
    this.series.end.priceScale().applyOptions({ scaleMargins: { top: 0.1, bottom: 0 } });
    const [prices, own] = chart.panes();
    prices?.setStretchFactor(PRICES_SHARE);
    own?.setStretchFactor(VOLUME_SHARE);
    this.replace();
  }

  /** The pane goes with the last of its series. */
  private hide(): void {
    for (const part of this.series === null ? [] : [this.series.body, this.series.end]) {
      this.host?.chart.removeSeries(part);
    }
    this.series = null;
  }

  private replace(): void {
    const { state } = this;
    if (state === null || this.series === null) return;
    const shown = state.forming === null ? state.candles : [...state.candles, state.forming];
    this.series.replace(shown.map((candle) => this.row(candle)));
  }

  private row({ candle_time: time, open, close, volume }: Candle): HistogramData<UTCTimestamp> {
    const color = close >= open ? this.theme?.upVolume : this.theme?.downVolume;
    return { time: time as UTCTimestamp, value: volume, ...(color ? { color } : {}) };
  }
}
