// The bars that are loaded, and how older and newer ones come to them.

import { candles, type Candle } from "./api";
import { bar, merge, type Bar } from "./bars";
import { add, typical, type Width } from "./interval";
import type { View } from "./view";

const page = 1000;
// A range of history that ends more than this many bars ago is shown without the bars after it.
const reach = 20_000;

export class History {
  bars: Bar[] = [];
  // Whether there may be more before the first and after the last one.
  older = false;
  newer = false;

  // load fetches what a view shows, in place of what was there.
  async load({ symbol, interval, range, bars }: View, width: Width, signal: AbortSignal): Promise<void> {
    const query = range
      ? { interval, from: iso(range.from - (range.to - range.from)), limit: 5000 }
      : { interval, limit: Math.min(5000, Math.max(page, bars * 2)) };
    let got = await candles(symbol, query, signal);
    let data = got.data;
    if (range) {
      while (got.next && data.length < reach && Date.parse(data.at(-1)!.bucket) / 1000 < range.to + (range.to - range.from) + page * typical(width)) {
        got = await candles(symbol, { ...query, cursor: got.next }, signal);
        data = data.concat(got.data);
      }
      if (data.length === 0) {
        got = await candles(symbol, { interval, limit: page }, signal);
        data = got.data;
      }
    }
    if (signal.aborted) return;
    this.bars = data.map(bar);
    this.older = range ? true : got.next !== undefined;
    this.newer = range ? got.next !== undefined : false;
  }

  // before and after prolong what is loaded.
  async before({ symbol, interval }: View, signal: AbortSignal): Promise<void> {
    const got = await candles(symbol, { interval, to: iso(this.bars[0]!.time), limit: page * 2 }, signal);
    if (signal.aborted) return;
    this.older = got.next !== undefined;
    this.bars = merge(this.bars, got.data.map(bar));
  }

  async after({ symbol, interval }: View, signal: AbortSignal): Promise<void> {
    const got = await candles(symbol, { interval, from: iso(this.bars.at(-1)!.time), limit: page * 2 }, signal);
    if (signal.aborted) return;
    this.newer = got.next !== undefined;
    this.bars = merge(this.bars, got.data.map(bar));
  }

  // since returns the bars from a time on as they are now.
  async since({ symbol, interval }: View, from: number, signal: AbortSignal): Promise<Bar[]> {
    let cursor: string | undefined;
    let data: Candle[] = [];
    do {
      const got = await candles(symbol, { interval, from: iso(from), limit: 5000, cursor }, signal);
      data = data.concat(got.data);
      cursor = got.next;
    } while (cursor && data.length < reach);
    return data.map(bar);
  }

  // end bounds what is asked for when the newest bars are not loaded.
  end(width: Width): number | undefined {
    return this.newer ? add(width, this.bars.at(-1)!.time, 1) : undefined;
  }
}

// Ranges of long bars reach beyond the years that the API takes.
const iso = (t: number) => new Date(Math.min(Math.max(t, Date.UTC(1000, 0) / 1000), Date.UTC(9000, 0) / 1000) * 1000).toISOString();
