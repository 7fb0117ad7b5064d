import { describe, expect, test } from "vitest";

import type { Bar } from "../src/bars";
import { bounds, fitting, levels, place } from "../src/place";

// A walk of prices, by a generator of our own so that it is the same each time.
function walk(start: number, step: number, n = 400): Bar[] {
  let x = 12345;
  const random = () => (x = (x * 1103515245 + 12345) % 2147483648) / 2147483648 - 0.5;
  let close = start;
  return Array.from({ length: n }, (_, i) => {
    const open = close;
    close += random() * step;
    return { time: i * 60, open, close, high: Math.max(open, close) + step / 4, low: Math.min(open, close) - step / 4, volume: 1, buyVolume: null, vwap: close, trades: 1 };
  });
}

const series = (bars: Bar[], f: (i: number) => number | undefined) =>
  new Map(bars.flatMap((b, i) => { const v = f(i); return v === undefined ? [] : [[b.time, v] as const]; }));

const mean = (bars: Bar[], n: number) => series(bars, (i) => (i + 1 < n ? undefined : bars.slice(i + 1 - n, i + 1).reduce((s, b) => s + b.close, 0) / n));

function rsi(bars: Bar[], n: number) {
  let gain = 0;
  let loss = 0;
  return series(bars, (i) => {
    if (i === 0) return undefined;
    const c = bars[i]!.close - bars[i - 1]!.close;
    gain += (Math.max(c, 0) - gain) / n;
    loss += (Math.max(-c, 0) - loss) / n;
    return (100 * gain) / (gain + loss || 1);
  });
}

describe.each([0.05, 1, 20, 50, 100, 3000, 60000])("at a price of %d", (price) => {
  const bars = walk(price, price * 0.004);
  test("averages and bands lie on the prices", () => {
    for (const n of [2, 20, 200]) expect(place(mean(bars, n), bars)).toBe("overlay");
    const band = price * 0.01;
    expect(place(new Map([...mean(bars, 20)].map(([t, v]) => [t, v + band])), bars)).toBe("overlay");
  });
  test("oscillators do not, though nothing says what they are", () => {
    expect(place(rsi(bars, 14), bars)).toBe("pane");
    expect(place(series(bars, (i) => Math.sin(i / 5)), bars)).toBe("pane");
    expect(place(series(bars, (i) => 1e6 + i * 100), bars)).toBe("pane");
  });
});

test("a description that names a range settles it", () => {
  const bars = walk(50, 5);
  expect(place(mean(bars, 20), bars, "0 to 100; above 70 is much.")).toBe("pane");
  expect(place(new Map(), bars)).toBe("pane");
});

test("descriptions name bounds and levels", () => {
  expect(bounds("0 to 100; below 30 is often read as oversold, above 70 as overbought.")).toEqual([0, 100]);
  expect(bounds("-1.5 to 1")).toEqual([-1.5, 1]);
  expect(bounds("Mean of the closes.")).toBeNull();
  expect(levels("0 to 100; below 30 is often read as oversold, above 70 as overbought.")).toEqual([30, 70]);
  expect(levels("Standard deviations; beyond 3 or -3 is unusual.")).toEqual([-3, 3]);
  expect(levels("Fast average less slow average.")).toEqual([]);
});

test("the series on the prices are drawn where there are any", () => {
  expect(fitting(new Map([["upper", "overlay"], ["percent_b", "pane"]]))).toEqual(["upper"]);
  expect(fitting(new Map([["k", "pane"], ["d", "pane"]]))).toEqual(["k", "d"]);
});
