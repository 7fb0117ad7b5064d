// Marks on the bars: unusual returns, unusual volume, averages that cross. They
// are the indicators zscore, volume_spike and trend, read at their remarkable values.

import type { SeriesMarker, UTCTimestamp } from "lightweight-charts";

import { aborted, type Indicator } from "./api";
import type { Bar } from "./bars";
import { fixed } from "./format";
import { Points } from "./points";
import type { Theme } from "./theme";
import type { MarkKind } from "./view";

export const markTitles: Record<MarkKind, string> = {
  zscore: "Unusual returns (|z| ≥ 3)",
  volume: "Volume spikes (3 σ above)",
  cross: "Trend crosses (50 over 200)",
};

const source: Record<MarkKind, { indicator: string; series: string }> = {
  zscore: { indicator: "zscore", series: "zscore" },
  volume: { indicator: "volume_spike", series: "zscore" },
  cross: { indicator: "trend", series: "cross" },
};

// Beyond this many standard deviations a return or a volume is marked.
const unusual = 3;

export class Marks {
  private readonly points = new Map<MarkKind, Points>();

  // load fetches the kinds that are on; without one in the catalog, there are no marks of it.
  async load(kinds: MarkKind[], catalog: Indicator[], symbol: string, interval: string, from: number, to: number | undefined, signal: AbortSignal): Promise<void> {
    this.points.clear();
    await Promise.all(kinds.filter((k) => catalog.some((d) => d.name === source[k].indicator)).map(async (kind) => {
      const points = new Points(symbol, interval, source[kind].indicator, {});
      try {
        await points.load(from, to, signal);
        if (!signal.aborted) this.points.set(kind, points);
      } catch (err) {
        if (!aborted(err)) console.warn(`marks of ${kind}:`, err);
      }
    }));
  }

  async extend(from: number, signal: AbortSignal): Promise<void> {
    await Promise.all([...this.points.values()].map((p) => p.load(from, undefined, signal).catch(() => undefined)));
  }

  async tail(from: number, signal: AbortSignal): Promise<void> {
    await Promise.all([...this.points.values()].map((p) => p.tail(from, signal).catch(() => undefined)));
  }

  private at(kind: MarkKind, time: number): number | undefined {
    return this.points.get(kind)?.values.get(source[kind].series)?.get(time);
  }

  // all are the marks of closed bars; the forming one would flicker.
  all(bars: readonly Bar[], theme: Theme): SeriesMarker<UTCTimestamp>[] {
    const out: SeriesMarker<UTCTimestamp>[] = [];
    for (const b of bars.slice(0, -1)) {
      const time = b.time as UTCTimestamp;
      const z = this.at("zscore", b.time);
      if (z !== undefined && Math.abs(z) >= unusual) out.push({ time, shape: "circle", size: 0.6, color: theme.warn, position: z > 0 ? "aboveBar" : "belowBar" });
      const v = this.at("volume", b.time);
      if (v !== undefined && v >= unusual) out.push({ time, shape: "square", size: 0.6, color: theme.cross, position: "belowBar" });
      const c = this.at("cross", b.time);
      if (c) {
        out.push(c > 0
          ? { time, shape: "arrowUp", size: 1.2, color: theme.up, position: "belowBar", text: "trend up" }
          : { time, shape: "arrowDown", size: 1.2, color: theme.down, position: "aboveBar", text: "trend down" });
      }
    }
    return out;
  }

  // say puts the marks of one bar in words.
  say(time: number): string {
    const said: string[] = [];
    const z = this.at("zscore", time);
    if (z !== undefined && Math.abs(z) >= unusual) said.push(`return ${fixed(z, 1)} σ`);
    const v = this.at("volume", time);
    if (v !== undefined && v >= unusual) said.push(`volume ${fixed(v, 1)} σ`);
    const c = this.at("cross", time);
    if (c) said.push(c > 0 ? "fast average crossed above slow" : "fast average crossed below slow");
    return said.join(" · ");
  }
}
