// Marks on the bars: unusual returns, unusual volume, averages that cross, which
// are the indicators zscore, volume_spike and trend at their remarkable values; and
// alert events.

import type { SeriesMarker, UTCTimestamp } from "lightweight-charts";

import { aborted, alertEvents, type AlertEvent, type Indicator, type Severity } from "./api";
import { at as indexAt, type Bar } from "./bars";
import { fixed } from "./format";
import { join } from "./list";
import { Points } from "./points";
import type { Theme } from "./theme";
import type { MarkKind } from "./view";

export const markTitles: Record<MarkKind, string> = {
  zscore: "Unusual returns (|z| ≥ 3)",
  volume: "Volume spikes (3 σ above)",
  cross: "Trend crosses (50 over 200)",
  alert: "Alerts",
};

type Indicated = Exclude<MarkKind, "alert">;

const source: Record<Indicated, { indicator: string; series: string }> = {
  zscore: { indicator: "zscore", series: "zscore" },
  volume: { indicator: "volume_spike", series: "zscore" },
  cross: { indicator: "trend", series: "cross" },
};

const ranks: Severity[] = ["info", "warning", "critical"];

// Beyond this many events the older ones have no mark.
const most = 5000;

// Beyond this many standard deviations a return or a volume is marked.
const unusual = 3;

export class Marks {
  private readonly points = new Map<Indicated, Points>();
  private readonly events = new Map<number, AlertEvent>();
  private symbol = "";
  private shown = false;
  private since = Infinity;

  // load fetches the kinds that are on; without one in the catalog, there are no marks of it.
  async load(kinds: MarkKind[], catalog: Indicator[], symbol: string, interval: string, from: number, to: number | undefined, signal: AbortSignal): Promise<void> {
    this.points.clear();
    this.events.clear();
    this.since = Infinity;
    this.symbol = symbol;
    this.shown = kinds.includes("alert");
    const indicated = kinds.filter((k) => k !== "alert").filter((k) => catalog.some((d) => d.name === source[k].indicator));
    await Promise.all([this.find(from, signal), ...indicated.map(async (kind) => {
      const points = new Points(symbol, interval, source[kind].indicator, {});
      try {
        await points.load(from, to, signal);
        if (!signal.aborted) this.points.set(kind, points);
      } catch (err) {
        if (!aborted(err)) console.warn(`marks of ${kind}:`, err);
      }
    })]);
  }

  // find fetches the alerts from a time on, unless they are known; the
  // stream sends later ones.
  private async find(from: number, signal: AbortSignal): Promise<void> {
    if (!this.shown || from >= this.since) return;
    const time = (t: number) => new Date(t * 1000).toISOString();
    const query = { symbol: join([this.symbol]), from: time(from), to: this.since === Infinity ? undefined : time(this.since), limit: 1000 };
    this.since = from;
    try {
      let cursor: string | undefined;
      do {
        const got = await alertEvents({ ...query, cursor }, signal);
        if (signal.aborted) return;
        for (const e of got.data) this.alert(e);
        cursor = got.next;
      } while (cursor && this.events.size < most);
    } catch (err) {
      if (!aborted(err)) console.warn("marks of alerts:", err);
    }
  }

  // alert takes a new or changed event; it returns true when its mark may change.
  alert(e: AlertEvent): boolean {
    if (!this.shown || e.symbol !== this.symbol || (this.events.get(e.id)?.change_id ?? 0) >= e.change_id) return false;
    this.events.set(e.id, e);
    return true;
  }

  async extend(from: number, signal: AbortSignal): Promise<void> {
    await Promise.all([this.find(from, signal), ...[...this.points.values()].map((p) => p.load(from, undefined, signal).catch(() => undefined))]);
  }

  async tail(from: number, signal: AbortSignal): Promise<void> {
    await Promise.all([...this.points.values()].map((p) => p.tail(from, signal).catch(() => undefined)));
  }

  private at(kind: Indicated, time: number): number | undefined {
    return this.points.get(kind)?.values.get(source[kind].series)?.get(time);
  }

  // alerts returns the events by the bar that they lie in. Retracted ones have no
  // mark.
  private alerts(bars: readonly Bar[]): Map<number, AlertEvent[]> {
    const out = new Map<number, AlertEvent[]>();
    for (const e of this.events.values()) {
      if (e.state === "retracted") continue;
      const i = indexAt(bars, Date.parse(e.bar) / 1000);
      const time = bars[i >= 0 ? i : -i - 2]?.time;
      if (time !== undefined) out.set(time, [...(out.get(time) ?? []), e]);
    }
    this.byBar = out;
    return out;
  }
  private byBar = new Map<number, AlertEvent[]>();

  // all returns the marks of closed bars; the forming one would flicker.
  all(bars: readonly Bar[], theme: Theme): SeriesMarker<UTCTimestamp>[] {
    const out: SeriesMarker<UTCTimestamp>[] = [];
    const alerts = this.alerts(bars);
    const tones = { info: theme.accent, warning: theme.warn, critical: theme.down };
    for (const [i, b] of bars.entries()) {
      const time = b.time as UTCTimestamp;
      const found = alerts.get(b.time);
      if (found) {
        const worst = ranks[Math.max(...found.map((e) => ranks.indexOf(e.severity)))]!;
        out.push({ time, shape: "arrowDown", size: 1, color: tones[worst], position: "aboveBar", text: found.length > 1 ? `!${found.length}` : "!" });
      }
      if (i === bars.length - 1) break;
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
    const said: string[] = [...new Set((this.byBar.get(time) ?? []).map((e) => `alert: ${e.rule}`))];
    const z = this.at("zscore", time);
    if (z !== undefined && Math.abs(z) >= unusual) said.push(`return ${fixed(z, 1)} σ`);
    const v = this.at("volume", time);
    if (v !== undefined && v >= unusual) said.push(`volume ${fixed(v, 1)} σ`);
    const c = this.at("cross", time);
    if (c) said.push(c > 0 ? "fast average crossed above slow" : "fast average crossed below slow");
    return said.join(" · ");
  }
}
