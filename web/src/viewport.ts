// Which of the loaded bars are in sight.

import type { IChartApi } from "lightweight-charts";

import { at, type Bar } from "./bars";

export class Viewport {
  constructor(
    private readonly chart: IChartApi,
    private readonly bars: () => readonly Bar[],
  ) {}

  // newest shows that many bars up to the last one.
  newest(bars: number): void {
    const n = this.bars().length;
    if (n > 0) this.set(n - bars + 4, n + 4);
  }

  range(range: { from: number; to: number }): void {
    const bars = this.bars();
    const index = (t: number) => {
      const i = at(bars, t);
      return i >= 0 ? i : -i - 1;
    };
    if (bars.length > 0) this.set(index(range.from), Math.max(index(range.to), index(range.from) + 4));
  }

  scroll(share: number): void {
    const r = this.chart.timeScale().getVisibleLogicalRange();
    if (!r) return;
    const by = (r.to - r.from) * share;
    this.set(r.from + by, r.to + by);
  }

  scale(factor: number): void {
    const r = this.chart.timeScale().getVisibleLogicalRange();
    if (r) this.set(r.to - Math.max(10, (r.to - r.from) * factor), r.to);
  }

  // room is the range of the prices in sight, and some more.
  room(): [number, number] | null {
    const r = this.chart.timeScale().getVisibleLogicalRange();
    if (!r) return null;
    let low = Infinity;
    let high = -Infinity;
    for (const b of this.bars().slice(Math.max(0, Math.floor(r.from)), Math.max(0, Math.ceil(r.to) + 1))) {
      low = Math.min(low, b.low);
      high = Math.max(high, b.high);
    }
    return low <= high ? [low - (high - low) * 0.3, high + (high - low) * 0.3] : null;
  }

  private set(from: number, to: number): void {
    this.chart.timeScale().setVisibleLogicalRange({ from, to });
  }
}
