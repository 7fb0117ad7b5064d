// The values of one indicator over the bars that are loaded.

import { points as fetchPoints, type Point } from "./api";

export class Points {
  // by series, then by time
  readonly values = new Map<string, Map<number, number>>();
  private from = Infinity;

  constructor(
    private readonly symbol: string,
    private readonly interval: string,
    private readonly name: string,
    private readonly params: Record<string, string>,
  ) {}

  // load reads back to from; values that are loaded are not requested again.
  async load(from: number, to: number | undefined, signal: AbortSignal): Promise<void> {
    const until = this.from === Infinity ? to : this.from;
    if (until !== undefined && from >= until) return;
    await this.fetch(from, until, signal);
    this.from = Math.min(this.from, from);
  }

  // tail requests the values from a time on again.
  async tail(from: number, signal: AbortSignal): Promise<void> {
    if (this.from === Infinity) return;
    await this.fetch(from, undefined, signal);
  }

  private async fetch(from: number, to: number | undefined, signal: AbortSignal): Promise<void> {
    const query = {
      interval: this.interval,
      ...this.params,
      from: new Date(from * 1000).toISOString(),
      to: to === undefined ? undefined : new Date(to * 1000).toISOString(),
      limit: 5000,
    };
    let cursor: string | undefined;
    do {
      const page = await fetchPoints(this.symbol, this.name, { ...query, cursor }, signal);
      this.add(page.data);
      cursor = page.next;
    } while (cursor);
  }

  private add(data: Point[]): void {
    for (const p of data) {
      const time = Date.parse(p.bucket) / 1000;
      for (const [name, value] of Object.entries(p.values)) {
        if (value === null) continue;
        let series = this.values.get(name);
        if (!series) this.values.set(name, (series = new Map()));
        series.set(time, value);
      }
    }
  }
}
