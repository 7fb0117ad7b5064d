import { expect, test } from "vitest";

import type { AlertEvent, AlertRule } from "../src/api";
import { Marks } from "../src/marks";
import { terms } from "../src/rules";
import type { Theme } from "../src/theme";

const rule: AlertRule = {
  id: 1, name: "x", description: "", symbols: ["*"], interval: "5m", indicator: "rsi", params: { period: 9 }, series: "rsi", condition: "above", threshold: 70, upper: null,
  against_indicator: null, against_params: {}, against_series: null, bars: 1, cooldown: "30m", severity: "info", enabled: true, version: 1, firing: 0,
};

test("a rule in words", () => {
  expect(terms(rule)).toBe("rsi (9) is above 70 · 5m · all symbols · at most every 30m");
  expect(terms({ ...rule, indicator: "sma", series: "sma", params: { period: 1 }, condition: "falls", threshold: 3, bars: 15, symbols: ["A", "B-*"], cooldown: "0s" })).toBe("close falls by 3 % in 15 bars · 5m · A, B-*");
  expect(terms({ ...rule, indicator: "zscore", series: "zscore", params: {}, condition: "outside", threshold: -4, upper: 4 })).toBe("zscore is outside −4 to 4 · 5m · all symbols · at most every 30m");
  expect(terms({ ...rule, indicator: "macd", series: "macd", params: {}, condition: "crosses_above", threshold: null, against_indicator: "macd", against_series: "signal", cooldown: "0s" })).toBe("macd crosses above macd signal · 5m · all symbols");
  expect(terms({ ...rule, indicator: null, series: null, params: {}, interval: null, condition: "fails", threshold: null, cooldown: "0s" })).toBe("fails · any part");
});

const event = (id: number, minute: number, more: Partial<AlertEvent> = {}): AlertEvent => ({
  id, rule_id: 1, rule: "x", severity: "info", symbol: "A", interval: "1m", bar: new Date(minute * 60_000).toISOString(), opened: "", resolved: null, value: 1, threshold: 0,
  message: "", state: "firing", late: false, revision: 0, changed: "", change_id: id, ...more,
});

test("alerts on the bars they lie in", async () => {
  const theme = { accent: "blue", warn: "amber", down: "red" } as Theme;
  const marks = new Marks();
  const answers = [{ data: [event(3, 11)], next: "n" }, { data: [event(2, 10), event(1, 2)] }];
  const asked: URL[] = [];
  Object.assign(globalThis, {
    document: { baseURI: "http://x/" }, sessionStorage: { getItem: () => null },
    fetch: (url: URL) => (asked.push(url), Promise.resolve(new Response(JSON.stringify(answers.shift())))),
  });
  await marks.load(["alert"], [], "A", "5m", 0, undefined, new AbortController().signal);
  expect(asked.map((u) => u.searchParams.get("symbol") + (u.searchParams.get("cursor") ?? ""))).toEqual(["A", "An"]);
  // What the stream tells, of this symbol and newer than what is known.
  expect(marks.alert(event(3, 11, { severity: "critical", change_id: 9 }))).toBe(true);
  expect(marks.alert(event(3, 11, { change_id: 8 }))).toBe(false);
  expect(marks.alert(event(4, 10, { symbol: "B", change_id: 10 }))).toBe(false);
  const bars = [0, 5, 10].map((m) => ({ time: m * 60, open: 1, high: 1, low: 1, close: 1, volume: 1, buyVolume: null, vwap: 1, trades: 1 }));
  const drawn = () => marks.all(bars, theme).map((m) => [m.time, m.color, m.text]);
  expect(drawn()).toEqual([[0, "blue", "!"], [600, "red", "!2"]]);
  expect(marks.say(600)).toBe("alert: x");
  // A retracted event has no mark, nor has one before the first bar.
  marks.alert(event(1, 2, { state: "retracted", change_id: 11 }));
  marks.alert(event(5, -3, { change_id: 12 }));
  expect(drawn()).toEqual([[600, "red", "!2"]]);
});
