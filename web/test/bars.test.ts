import { expect, test } from "vitest";

import { at, bar as read, merge, put, remove, trade, type Bar } from "../src/bars";
import { parse } from "../src/interval";

const bar = (time: number, close = 1): Bar => ({ time, open: 1, high: Math.max(1, close), low: Math.min(1, close), close, volume: 1, buyVolume: null, vwap: 1, trades: 1 });

test("put keeps the order and reports whether the bar is the newest", () => {
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

test("remove takes a bar out, and only one that is there", () => {
  const bars = [bar(60), bar(120), bar(180)];
  expect(remove(bars, 120)).toBe(true);
  expect(remove(bars, 120)).toBe(false);
  expect(bars.map((b) => b.time)).toEqual([60, 180]);
});

test("a bar keeps who bought, and that it is not known", () => {
  const c = { bucket: "2026-11-24T15:30:00Z", open: 1, high: 2, low: 1, close: 2, volume: 10, buy_volume: 4, vwap: 1.5, trades: 3 };
  expect(read(c)).toEqual({ time: Date.UTC(2026, 10, 24, 15, 30) / 1000, open: 1, high: 2, low: 1, close: 2, volume: 10, buyVolume: 4, vwap: 1.5, trades: 3 });
  expect(read({ ...c, buy_volume: null }).buyVolume).toBeNull();
});

test("merge joins pages; where they overlap the later answer wins", () => {
  expect(merge([bar(120), bar(180)], [bar(60), bar(120, 9)]).map((b) => [b.time, b.close])).toEqual([[60, 1], [120, 9], [180, 1]]);
  expect(merge([bar(120)], [bar(0), bar(60)]).map((b) => b.time)).toEqual([0, 60, 120]);
  expect(merge([], [bar(1)])).toEqual([bar(1)]);
});

test("a tick moves the newest bar, begins the next, and never touches an older one", () => {
  const last = bar(120, 2);
  const minute = parse("1m");
  expect(trade(last, minute, 150.5, 5)).toEqual({ ...last, close: 5, high: 5 });
  expect(trade(last, minute, 179.999, 0.5)).toEqual({ ...last, close: 0.5, low: 0.5 });
  expect(trade(last, minute, 180, 7)).toMatchObject({ time: 180, open: 7, high: 7, low: 7, close: 7 });
  expect(trade(last, minute, 119, 7)).toBeNull();
  expect(trade(undefined, minute, 119, 7)).toBeNull();
});

test("a tick begins a week on Monday and a month on its first", () => {
  const tuesday = Date.UTC(2026, 10, 24, 16, 10) / 1000;
  const week = bar(Date.UTC(2026, 10, 23) / 1000);
  expect(trade(week, parse("1w"), tuesday, 5)).toMatchObject({ time: week.time, close: 5 });
  expect(trade(week, parse("1w"), tuesday + 6 * 86400, 5)).toMatchObject({ time: week.time + 7 * 86400, open: 5 });
  const month = bar(Date.UTC(2026, 10, 1) / 1000);
  expect(trade(month, parse("1mo"), tuesday, 5)).toMatchObject({ time: month.time, close: 5 });
  expect(trade(month, parse("1mo"), Date.UTC(2026, 11, 1) / 1000, 5)).toMatchObject({ time: Date.UTC(2026, 11, 1) / 1000, open: 5 });
});
