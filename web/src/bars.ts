// Bars in order of time, as they are loaded, prolonged and revised.

import type { Candle } from "./api";
import { start, type Width } from "./interval";

export interface Bar {
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  buyVolume: number | null;
  vwap: number | null;
  trades: number;
}

export function bar(c: Candle): Bar {
  const { open, high, low, close, volume, buy_volume, vwap, trades } = c;
  return { time: Date.parse(c.bucket) / 1000, open, high, low, close, volume, buyVolume: buy_volume, vwap, trades };
}

// at is the index of the bar of that time, or else where it would go, negated
// and less one.
export function at(bars: readonly { time: number }[], time: number): number {
  let low = 0;
  let high = bars.length - 1;
  while (low <= high) {
    const mid = (low + high) >> 1;
    const t = bars[mid]!.time;
    if (t === time) return mid;
    if (t < time) low = mid + 1;
    else high = mid - 1;
  }
  return -low - 1;
}

// put stores one bar and returns its place: "last" when it is the newest.
export function put(bars: Bar[], b: Bar): "last" | "older" {
  const i = at(bars, b.time);
  if (i >= 0) bars[i] = b;
  else bars.splice(-i - 1, 0, b);
  return bars[bars.length - 1] === b ? "last" : "older";
}

// remove takes the bar of that time out and reports whether there was one.
export function remove(bars: Bar[], time: number): boolean {
  const i = at(bars, time);
  if (i >= 0) bars.splice(i, 1);
  return i >= 0;
}

// merge joins two lists that are in order; where both have a time, more wins.
export function merge(bars: readonly Bar[], more: readonly Bar[]): Bar[] {
  if (bars.length === 0) return [...more];
  if (more.length === 0) return [...bars];
  if (more[more.length - 1]!.time < bars[0]!.time) return [...more, ...bars];
  const all = new Map<number, Bar>();
  for (const b of bars) all.set(b.time, b);
  for (const b of more) all.set(b.time, b);
  return [...all.values()].sort((a, b) => a.time - b.time);
}

// trade moves the bar that a tick belongs to, before the server sends
// it: only prices, since its volume may already be counted. It is null when the tick is
// not of the newest bar or a later one.
export function trade(last: Bar | undefined, width: Width, ts: number, price: number): Bar | null {
  const time = start(width, ts);
  if (!last || time < last.time) return null;
  if (time > last.time) return { time, open: price, high: price, low: price, close: price, volume: 0, buyVolume: null, vwap: null, trades: 0 };
  return { ...last, close: price, high: Math.max(last.high, price), low: Math.min(last.low, price) };
}
