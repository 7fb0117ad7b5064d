import { expect, test } from "vitest";

import { at, merge, put, trade, type Bar } from "../src/bars";

const bar = (time: number, close = 1): Bar => ({ time, open: 1, high: Math.max(1, close), low: Math.min(1, close), close, volume: 1, vwap: 1, trades: 1 });

test("put keeps the order and says whether the bar is the newest", () => {
  const bars: Bar[] = [];
  expect(put(bars, bar(60))).toBe("last");
  expect(put(bars, bar(180))).toBe("last");
  expect(put(bars, bar(120))).toBe("older");
  expect(put(bars, bar(180, 2))).toBe("last");
  expect(put(bars, bar(60, 3))).toBe("older");
  expect(bars.map((b) => [b.time, b.close])).toEqual([[60, 3], [120, 1], [180, 2]]);
  expect(at(bars, 120)).toBe(1);
  expect(at(bars, 130)).toBe(-3);
});

test("merge joins pages; where they overlap the later answer wins", () => {
  expect(merge([bar(120), bar(180)], [bar(60), bar(120, 9)]).map((b) => [b.time, b.close])).toEqual([[60, 1], [120, 9], [180, 1]]);
  expect(merge([bar(120)], [bar(0), bar(60)]).map((b) => b.time)).toEqual([0, 60, 120]);
  expect(merge([], [bar(1)])).toEqual([bar(1)]);
});

test("a tick moves the newest bar, begins the next, and never touches an older one", () => {
  const last = bar(120, 2);
  expect(trade(last, 60, 150.5, 5)).toEqual({ ...last, close: 5, high: 5 });
  expect(trade(last, 60, 179.999, 0.5)).toEqual({ ...last, close: 0.5, low: 0.5 });
  expect(trade(last, 60, 180, 7)).toMatchObject({ time: 180, open: 7, high: 7, low: 7, close: 7 });
  expect(trade(last, 60, 119, 7)).toBeNull();
  expect(trade(undefined, 60, 119, 7)).toBeNull();
});
