// One indicator on the chart: its values, its lines, its legend.

import {
  HistogramSeries, LineSeries, LineStyle, type AutoscaleInfo, type IChartApi, type ISeriesApi, type SeriesType, type UTCTimestamp,
} from "lightweight-charts";

import { aborted, message, type Indicator } from "./api";
import type { Bar } from "./bars";
import { compact, digits, fixed } from "./format";
import { bounds, fitting, levels, place } from "./place";
import { Points } from "./points";
import type { Theme } from "./theme";
import type { Place, Shown } from "./view";

interface Line {
  api: ISeriesApi<SeriesType>;
  place: Place;
  color: string;
  histogram: boolean;
  digits: number;
}

export class Study {
  points: Points | null = null;
  error = "";
  readonly lines = new Map<string, Line>();
  // What its data asks for, whatever the user chose.
  places = new Map<string, Place>();

  constructor(
    readonly shown: Shown,
    readonly def: Indicator,
    private readonly chart: IChartApi,
    // The prices in sight, and some room.
    private readonly room: () => [number, number] | null,
  ) {}

  get label(): string {
    // A default of 0 says that something is left out.
    const params = this.def.parameters.map((p) => this.shown.params[p.name] ?? (p.default === null || p.default === undefined ? "" : String(p.default)));
    return [this.def.name.replaceAll("_", " ").toUpperCase(), ...params.filter((p) => p !== "0")].join(" ");
  }

  // pane is where its lines off the prices are.
  pane(): number | null {
    for (const line of this.lines.values()) if (line.place === "pane") return line.api.getPane().paneIndex();
    return null;
  }

  async load(symbol: string, interval: string, from: number, to: number | undefined, signal: AbortSignal): Promise<void> {
    const points = new Points(symbol, interval, this.def.name, this.shown.params);
    await this.attempt(signal, () => points.load(from, to, signal));
    if (!signal.aborted) this.points = points;
  }

  async extend(from: number, signal: AbortSignal): Promise<void> {
    await this.attempt(signal, async () => this.points?.load(from, undefined, signal));
  }

  async tail(from: number, signal: AbortSignal): Promise<void> {
    await this.attempt(signal, async () => this.points?.tail(from, signal));
  }

  private async attempt(signal: AbortSignal, run: () => Promise<unknown>): Promise<void> {
    try {
      await run();
      if (!signal.aborted) this.error = "";
    } catch (err) {
      if (!signal.aborted && !aborted(err)) this.error = message(err);
    }
  }

  // draw brings the lines in step with the values. color hands out the next one.
  draw(bars: readonly Bar[], theme: Theme, color: () => string): void {
    const values = this.points?.values ?? new Map<string, Map<number, number>>();
    // A switch of the symbol moves nothing until the new values are there.
    if (bars.length > 0 && values.size > 0) {
      this.places = new Map();
      const known = this.def.series.map((s) => s.name);
      for (const name of [...known, ...[...values.keys()].filter((n) => !known.includes(n))]) {
        const of = values.get(name);
        if (of) this.places.set(name, place(of, bars, this.describe(name)));
      }
    }
    const wanted = this.shown.series ?? fitting(this.places);
    const main = fitting(this.places).some((n) => this.places.get(n) === "overlay") ? "overlay" : "pane";
    for (const [name, line] of this.lines) {
      if (wanted.includes(name) && line.place === this.placeOf(name, main)) continue;
      this.chart.removeSeries(line.api);
      this.lines.delete(name);
    }
    const shared = new Map<string, string>();
    for (const name of this.places.keys()) {
      if (!wanted.includes(name)) continue;
      const histogram = name === "histogram";
      // Two edges of one band have one colour.
      const family = name === "lower" ? "upper" : name;
      const shade = shared.get(family) ?? (histogram ? theme.muted : color());
      shared.set(family, shade);
      const line = this.lines.get(name) ?? this.add(name, this.placeOf(name, main), histogram, theme);
      if (line.color !== shade) line.api.applyOptions({ color: shade });
      line.color = shade;
      this.fill(line, values.get(name), theme);
    }
  }

  placeOf(name: string, main: Place): Place {
    const own = this.places.get(name) ?? "pane";
    return this.shown.place && own === main ? this.shown.place : own;
  }

  describe(series: string): string {
    return this.def.series.find((s) => s.name === series)?.description ?? "";
  }

  private add(name: string, where: Place, histogram: boolean, theme: Theme): Line {
    const pane = where === "overlay" ? 0 : (this.pane() ?? this.chart.panes().length);
    const marks = where === "pane" ? levels(this.describe(name)) : [];
    const options = {
      priceLineVisible: false,
      lastValueVisible: where === "pane" && !histogram,
      autoscaleInfoProvider: (own: () => AutoscaleInfo | null) => (where === "overlay" ? clipped(own(), this.room()) : widened(own(), marks)),
    };
    const api: ISeriesApi<SeriesType> = histogram
      ? this.chart.addSeries(HistogramSeries, { ...options, base: 0 }, pane)
      : this.chart.addSeries(LineSeries, { ...options, lineWidth: 1, crosshairMarkerRadius: 2.5 }, pane);
    for (const level of marks) {
      api.createPriceLine({ price: level, color: theme.muted, lineStyle: LineStyle.Dashed, lineWidth: 1, axisLabelVisible: false, title: "" });
    }
    if (where === "pane") api.priceScale().applyOptions({ scaleMargins: { top: 0.12, bottom: 0.08 } });
    const line: Line = { api, place: where, color: "", histogram, digits: 2 };
    this.lines.set(name, line);
    return line;
  }

  private fill(line: Line, values: ReadonlyMap<number, number> | undefined, theme: Theme): void {
    const data = [...(values ?? [])].sort((a, b) => a[0] - b[0]);
    let size = 0;
    for (const [, v] of data) size = Math.max(size, Math.abs(v));
    if (line.place === "pane") {
      const places = digits(size);
      line.digits = Math.min(places + 1, 8);
      line.api.applyOptions({
        priceFormat: size >= 1e5
          ? { type: "custom", minMove: 1, formatter: compact }
          : { type: "custom", minMove: 10 ** -places, formatter: (v: number) => fixed(v, places) },
      });
    }
    line.api.setData(data.map(([time, value]) => ({
      time: time as UTCTimestamp,
      value,
      ...(line.histogram ? { color: value >= 0 ? theme.upSoft : theme.downSoft } : {}),
    })));
  }

  // value is what the legend says at a time.
  value(series: string, time: number, priceDigits: number): string {
    const v = this.points?.values.get(series)?.get(time);
    if (v === undefined) return "–";
    const line = this.lines.get(series);
    if (line?.place === "overlay" && this.places.get(series) === "overlay") return fixed(v, priceDigits);
    return Math.abs(v) >= 1e6 ? compact(v) : fixed(v, Math.abs(v) >= 1e4 ? 0 : (line?.digits ?? 2));
  }

  remove(): void {
    for (const line of this.lines.values()) this.chart.removeSeries(line.api);
    this.lines.clear();
  }

  bounded(series: string): boolean {
    return bounds(this.describe(series)) !== null;
  }
}

// widened makes room for the levels, so that they are in sight.
function widened(info: AutoscaleInfo | null, levels: number[]): AutoscaleInfo | null {
  if (!info?.priceRange || levels.length === 0) return info;
  const { minValue, maxValue } = info.priceRange;
  return { ...info, priceRange: { minValue: Math.min(minValue, ...levels), maxValue: Math.max(maxValue, ...levels) } };
}

// clipped keeps a line that goes far away from flattening the bars.
function clipped(info: AutoscaleInfo | null, room: [number, number] | null): AutoscaleInfo | null {
  if (!info?.priceRange || !room) return info;
  const minValue = Math.max(info.priceRange.minValue, room[0]);
  const maxValue = Math.min(info.priceRange.maxValue, room[1]);
  return minValue <= maxValue ? { ...info, priceRange: { minValue, maxValue } } : null;
}
