// The chart: bars with volume, indicators, marks, legends, and the range of
// history it has loaded.

import {
  CandlestickSeries, createChart, createSeriesMarkers, CrosshairMode, HistogramSeries, PriceScaleMode,
  type IChartApi, type ISeriesApi, type ISeriesMarkersPluginApi, type LogicalRange, type Time, type UTCTimestamp,
} from "lightweight-charts";

import { aborted, message, type AlertEvent, type Indicator, type LiveCandle, type Tick } from "./api";
import { at, bar, put, remove, trade, type Bar } from "./bars";
import { frame, later } from "./dom";
import { clock, decimals, fixed } from "./format";
import { parse, same, type Width } from "./interval";
import { History } from "./history";
import { Legend } from "./legend";
import { Marks } from "./marks";
import { Study } from "./study";
import { theme, type Theme } from "./theme";
import { Viewport } from "./viewport";
import { shownKey, type View } from "./view";

export interface ChartEvents {
  // The user scrolled or zoomed.
  moved: (bars: number, range: View["range"]) => void;
  settings: (index: number) => void;
  remove: (index: number) => void;
  drawn: () => void;
  price: (last: Bar | undefined, before: Bar | undefined, digits: number) => void;
  state: (state: "loading" | "ready" | "empty" | "error", detail: string) => void;
}

export class ChartView {
  private readonly chart: IChartApi;
  private readonly price: ISeriesApi<"Candlestick">;
  private readonly volume: ISeriesApi<"Histogram">;
  private readonly markers: ISeriesMarkersPluginApi<Time>;
  private readonly legend: Legend;
  private readonly marks = new Marks();
  private colors: Theme = theme();
  private studies: Study[] = [];
  private catalog: Indicator[] = [];
  private readonly history = new History();
  private readonly sight: Viewport;
  private digits = 2;
  private view: View;
  private width: Width;
  private loading = new AbortController();
  private paging = false;
  private lastTick = 0;
  private hover: number | null = null;
  // Moves of the chart that are ours, not the user's.
  private quiet = true;

  constructor(
    private readonly box: HTMLElement,
    view: View,
    private readonly on: ChartEvents,
  ) {
    this.view = view;
    this.width = parse(view.interval);
    this.chart = createChart(box, { autoSize: true, ...this.options() });
    this.sight = new Viewport(this.chart, () => this.bars);
    this.price = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.price.priceScale().applyOptions({ scaleMargins: { top: 0.1, bottom: 0.22 } });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.85, bottom: 0 } });
    this.markers = createSeriesMarkers(this.price, [], { autoScale: false });
    this.legend = new Legend(box, on);
    this.paint();
    this.chart.subscribeCrosshairMove((p) => {
      this.hover = p.time === undefined ? null : (p.time as number);
      this.tell();
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((r) => r && this.moved(r));
    // A pane that the user drags moves its legend.
    new ResizeObserver(() => this.layout()).observe(box);
    box.addEventListener("pointermove", () => this.layout());
  }

  private get bars(): Bar[] {
    return this.history.bars;
  }

  // show loads what the view asks for, if it is not on the chart already.
  async show(view: View, catalog: Indicator[]): Promise<void> {
    const before = this.view;
    const fresh = this.bars.length === 0 || before.symbol !== view.symbol || before.interval !== view.interval || !sameRange(before.range, view.range);
    const marksChanged = before.marks.join() !== view.marks.join();
    this.view = structuredClone(view);
    this.catalog = catalog;
    this.chart.priceScale("right", 0).applyOptions({ mode: view.log ? PriceScaleMode.Logarithmic : PriceScaleMode.Normal });
    if (before.interval !== view.interval) {
      this.width = parse(view.interval);
      this.chart.applyOptions(this.options());
    }
    if (fresh) return this.load();
    const signal = this.loading.signal;
    await Promise.all([this.sync(signal), marksChanged ? this.loadMarks(signal) : undefined]);
    if (signal.aborted) return;
    if (before.bars !== view.bars && !view.range) this.sight.newest(view.bars);
    this.draw();
  }

  private async load(): Promise<void> {
    this.loading.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    const { symbol, range, bars } = this.view;
    this.box.classList.add("loading");
    // Loading is shown only when it takes long.
    const slow = window.setTimeout(() => !signal.aborted && this.on.state("loading", `Loading ${symbol} …`), 700);
    this.on.state("loading", "");
    this.paging = true;
    try {
      await this.history.load(this.view, this.width, signal);
      if (signal.aborted) return;
      this.lastTick = 0;
      this.digits = decimals(this.bars.slice(-300).flatMap((b) => [b.open, b.high, b.low, b.close]));
      this.price.applyOptions({ priceFormat: { type: "custom", minMove: 10 ** -this.digits, formatter: (v: number) => fixed(v, this.digits) } });
      this.quiet = true;
      // The bars first: indicators follow as they come, on the same time scale.
      for (const s of this.studies) s.points = null;
      this.drawBars();
      this.chart.priceScale("right", 0).applyOptions({ autoScale: true });
      if (range) this.sight.range(range);
      else this.sight.newest(bars);
      this.tell();
      clearTimeout(slow);
      this.on.state("loading", "");
      this.box.classList.remove("loading");
      await Promise.all([this.sync(signal), this.loadMarks(signal)]);
      if (signal.aborted) return;
      this.draw();
      this.on.state(this.bars.length > 0 ? "ready" : "empty", "");
    } catch (err) {
      if (signal.aborted || aborted(err)) return;
      this.history.bars = [];
      this.draw();
      this.on.state("error", message(err));
    } finally {
      clearTimeout(slow);
      if (!signal.aborted) {
        this.box.classList.remove("loading");
        this.paging = false;
        requestAnimationFrame(() => requestAnimationFrame(() => (this.quiet = false)));
      }
    }
  }

  // sync updates the indicators to the view and loads new ones.
  private async sync(signal: AbortSignal): Promise<void> {
    const { symbol, interval, indicators } = this.view;
    const old = [...this.studies];
    this.studies = indicators.flatMap((shown) => {
      const def = this.catalog.find((d) => d.name === shown.name);
      if (!def) return [];
      const i = old.findIndex((s) => shownKey(s.shown) === shownKey(shown) && JSON.stringify(s.def) === JSON.stringify(def));
      if (i >= 0) {
        const [kept] = old.splice(i, 1);
        Object.assign(kept!.shown, { series: shown.series, place: shown.place });
        return [kept!];
      }
      return [new Study({ ...shown }, def, this.chart, () => this.sight.room())];
    });
    for (const s of old) s.remove();
    this.legend.missing(indicators.filter((s) => !this.catalog.some((d) => d.name === s.name)).map((s) => s.name));
    const first = this.bars[0]?.time;
    if (first === undefined) return;
    await Promise.all(this.studies.filter((s) => s.points === null).map((s) => s.load(symbol, interval, first, this.history.end(this.width), signal)));
  }

  private loadMarks(signal: AbortSignal): Promise<void> {
    const { symbol, interval, marks } = this.view;
    const first = this.bars[0]?.time;
    if (first === undefined) return Promise.resolve();
    return this.marks.load(marks, this.catalog, symbol, interval, first, this.history.end(this.width), signal);
  }

  private draw(): void {
    this.drawBars();
    this.drawStudies();
  }

  private drawBars(): void {
    this.price.setData(this.bars.map((b) => ({ ...b, time: b.time as UTCTimestamp })));
    this.volume.setData(this.bars.map((b) => this.volumeBar(b)));
  }

  private volumeBar(b: Bar) {
    return { time: b.time as UTCTimestamp, value: b.volume, color: b.close >= b.open ? this.colors.upSoft : this.colors.downSoft };
  }

  private drawStudies(): void {
    let next = 0;
    const color = () => this.colors.series[next++ % this.colors.series.length]!;
    for (const s of this.studies) s.draw(this.bars, this.colors, color);
    this.markers.setMarkers(this.marks.all(this.bars, this.colors));
    this.chart.panes().forEach((p, i) => p.setStretchFactor(i === 0 ? 3.2 : 1));
    this.legend.studies(this.studies);
    this.on.drawn();
    this.tell();
    this.layout();
  }

  // tell fills the legends for the bar under the crosshair, or the newest.
  private readonly tell = frame(() => {
    const i = this.hover === null ? this.bars.length - 1 : at(this.bars, this.hover);
    const b = this.bars[i < 0 ? this.bars.length - 1 : i];
    this.legend.tell(b, this.bars[(i < 0 ? this.bars.length : i) - 1], this.digits, this.width, b ? this.marks.say(b.time) : "");
    this.on.price(this.history.newer ? undefined : this.bars.at(-1), this.bars.at(-2), this.digits);
  });

  private readonly layout = frame(() => this.legend.layout(this.chart.panes().map((p) => p.getHTMLElement())));

  // Live ----------------------------------------------------------------------

  tick(t: Tick): void {
    if (t.symbol !== this.view.symbol || this.history.newer || this.paging) return;
    const ts = Date.parse(t.ts) / 1000;
    if (ts < this.lastTick) return;
    // One that does not move every price waits for the server's bar.
    if ((t.flags & 7) !== 0) return;
    const b = trade(this.bars.at(-1), this.width, ts, t.price);
    if (!b) return;
    this.lastTick = ts;
    this.accept(b);
  }

  candle(c: LiveCandle): void {
    if (c.symbol !== this.view.symbol || !same(c.interval, this.view.interval) || this.history.newer || this.bars.length === 0) return;
    const time = Date.parse(c.bucket) / 1000;
    if (time < this.bars[0]!.time) return;
    if (c.state === "removed") {
      this.removed(time);
      return;
    }
    const b = bar(c);
    this.accept(b);
    if (c.state === "forming") this.soon();
    else this.renew(b.time);
  }

  // fault shows which part of the address is invalid.
  fault(what: string): void {
    this.legend.fault(what);
  }

  alert(e: AlertEvent): void {
    if (this.marks.alert(e)) this.drawMarks();
  }

  // Several come at once when a rule has been evaluated.
  private readonly drawMarks = frame(() => {
    this.markers.setMarkers(this.marks.all(this.bars, this.colors));
    this.tell();
  });

  private accept(b: Bar): void {
    const where = put(this.bars, b);
    if (this.paging) return;
    const point = { ...b, time: b.time as UTCTimestamp };
    this.price.update(point, where === "older");
    this.volume.update(this.volumeBar(b), where === "older");
    this.tell();
  }

  // removed takes a bar from the chart. Its series can only be set as a whole.
  private removed(time: number): void {
    if (!remove(this.bars, time)) return;
    if (this.bars.length === 0) {
      void this.load();
      return;
    }
    if (!this.paging) this.draw();
    this.renew(this.bars[Math.max(0, -at(this.bars, time) - 2)]!.time);
  }

  // soon refreshes the values at the forming bar, not with each of its ticks.
  private soonTimer = 0;
  private soon(): void {
    if (this.soonTimer || this.studies.length === 0) return;
    this.soonTimer = window.setTimeout(() => {
      this.soonTimer = 0;
      const last = this.bars.at(-1);
      if (last) this.renew(last.time);
    }, 2000);
  }

  // renew reads the values of the indicators from a bar on again: it closed, or
  // a late tick changed it.
  private from = Infinity;
  private renew(time: number): void {
    this.from = Math.min(this.from, time);
    this.renewLater();
  }
  private readonly renewLater = later(150, async () => {
    const { signal } = this.loading;
    const from = this.from;
    this.from = Infinity;
    await Promise.all([...this.studies.map((s) => s.tail(from, signal)), this.marks.tail(from, signal)]);
    if (!signal.aborted) this.drawStudies();
  });

  // reset reads everything again.
  reset(symbol: string | undefined): void {
    if (symbol !== undefined && symbol !== this.view.symbol) return;
    void this.load();
  }

  // caughtUp fetches what happened while there was no stream.
  async caughtUp(): Promise<void> {
    const last = this.bars.at(-1);
    if (!last || this.history.newer || this.paging) return;
    const { signal } = this.loading;
    const from = this.bars.at(-2)?.time ?? last.time;
    try {
      const now = await this.history.since(this.view, from, signal);
      if (signal.aborted) return;
      for (const b of now) this.accept(b);
      this.renew(from);
    } catch {
      // The stream reconnects, and calls this again.
    }
  }

  // History -------------------------------------------------------------------

  private moved(r: LogicalRange): void {
    if (this.bars.length === 0) return;
    if (r.from < 60 && this.history.older) void this.loadOlder();
    if (r.to > this.bars.length - 60 && this.history.newer) void this.loadNewer();
    if (!this.quiet) this.remember(r);
  }

  private readonly remember = later(250, (r: LogicalRange) => {
    const n = this.bars.length;
    if (n === 0) return;
    // Beyond the first bar there is no time to remember.
    if (r.to < 2) return;
    const bars = Math.max(5, Math.round(r.to - r.from));
    const live = !this.history.newer && r.to >= n - 1.5;
    const time = (i: number) => this.bars[Math.min(Math.max(Math.round(i), 0), n - 1)]!.time;
    const range = live ? undefined : { from: time(r.from), to: time(r.to) };
    this.view.bars = bars;
    if (range) this.view.range = range;
    else delete this.view.range;
    this.on.moved(bars, range);
  });

  private async loadOlder(): Promise<void> {
    if (this.paging || this.bars.length === 0) return;
    await this.more(async (signal) => {
      await this.history.before(this.view, signal);
      if (signal.aborted) return;
      // Bars and lines prolonged at once, so that nothing jumps.
      const from = this.bars[0]!.time;
      await Promise.all([...this.studies.map((s) => s.extend(from, signal)), this.marks.extend(from, signal)]);
    });
  }

  private async loadNewer(): Promise<void> {
    const last = this.bars.at(-1);
    if (this.paging || !last) return;
    await this.more(async (signal) => {
      await this.history.after(this.view, signal);
      if (signal.aborted) return;
      await Promise.all([...this.studies.map((s) => s.tail(last.time, signal)), this.marks.tail(last.time, signal)]);
    });
  }

  private async more(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.loading;
    this.paging = true;
    try {
      await run(signal);
      if (signal.aborted) return;
      this.draw();
    } catch (err) {
      if (!signal.aborted && !aborted(err)) this.on.state("error", message(err));
    } finally {
      if (!signal.aborted) {
        this.paging = false;
        // The user may have moved on meanwhile.
        const r = this.chart.timeScale().getVisibleLogicalRange();
        if (r) requestAnimationFrame(() => this.moved(r));
      }
    }
  }

  // Looking around --------------------------------------------------------------

  // toLive goes back to the newest bar.
  toLive(): void {
    if (this.history.newer) {
      delete this.view.range;
      this.on.moved(this.view.bars, undefined);
      void this.load();
    } else this.sight.newest(Math.max(this.view.bars, 40)); // at once: what moves meanwhile would stop an animation
  }

  scroll(share: number): void {
    this.sight.scroll(share);
  }

  scale(factor: number): void {
    this.sight.scale(factor);
  }

  study(index: number): Study | undefined {
    return this.studies.find((s) => shownKey(s.shown) === shownKey(this.view.indicators[index]!));
  }

  paint(): void {
    this.colors = theme();
    const { up, down } = this.colors;
    this.chart.applyOptions(this.options());
    this.price.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.draw();
  }

  private options() {
    const c = this.colors;
    const { width } = this;
    return {
      layout: {
        background: { color: c.background }, textColor: c.muted, fontSize: 11, fontFamily: getComputedStyle(document.body).fontFamily,
        // The page has its own link to TradingView: theirs brings a style element.
        attributionLogo: false,
        panes: { separatorColor: c.line, separatorHoverColor: c.grid },
      },
      grid: { vertLines: { color: c.grid }, horzLines: { color: c.grid } },
      crosshair: { mode: CrosshairMode.Normal, vertLine: { color: c.muted, labelBackgroundColor: c.line }, horzLine: { color: c.muted, labelBackgroundColor: c.line } },
      rightPriceScale: { borderVisible: false, minimumWidth: 64 },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: width.seconds % 60 !== 0, rightOffset: 4, minBarSpacing: 0.2 },
      localization: { locale: "en-GB", timeFormatter: (t: Time) => clock(t as number, width) },
    };
  }
}

function sameRange(a: View["range"], b: View["range"]): boolean {
  return a === b || (a !== undefined && b !== undefined && a.from === b.from && a.to === b.to);
}
