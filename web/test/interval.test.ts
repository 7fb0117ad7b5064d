import { expect, test } from "vitest";

import type { Listed } from "../src/api";
import { add, fault, parse, same, spell, start, typical, unit, type Width } from "../src/interval";
import { choices, direct, known } from "../src/intervalpicker";
import { testSpan } from "../src/rules";

const iso = (t: number) => new Date(t * 1000).toISOString().replace(".000Z", "Z");
const time = (text: string) => Date.parse(text) / 1000;

test("names", () => {
  const want: Record<string, Width> = {
    "1s": { seconds: 1, months: 0 }, "120s": { seconds: 120, months: 0 }, "90m": { seconds: 5400, months: 0 }, "1d": { seconds: 86400, months: 0 },
    "2w": { seconds: 14 * 86400, months: 0 }, "3mo": { seconds: 0, months: 3 }, "10y": { seconds: 0, months: 120 },
  };
  for (const [name, width] of Object.entries(want)) expect(parse(name), name).toEqual(width);
  for (const name of ["", "1", "m", "0m", "01m", "7s", "1M", "1 m", "12345m", "11y", "999w", "1m\n", "-1m", "constructor"]) {
    expect(() => parse(name), name).toThrow(/^interval: want .*, got "/s);
    expect(fault(name), name).not.toBe("");
  }
});

test("bars begin where the database begins them", () => {
  const at = time("2026-11-24T16:10:05.999Z"); // a Tuesday
  const want: Record<string, string> = {
    "30s": "2026-11-24T16:10:00Z", "90m": "2026-11-24T15:00:00Z", "4h": "2026-11-24T16:00:00Z", "1d": "2026-11-24T00:00:00Z", "1w": "2026-11-23T00:00:00Z",
    "2w": "2026-11-16T00:00:00Z", "1mo": "2026-11-01T00:00:00Z", "3mo": "2026-10-01T00:00:00Z", "1y": "2026-01-01T00:00:00Z", "5y": "2025-01-01T00:00:00Z",
  };
  for (const [name, begin] of Object.entries(want)) expect(iso(start(parse(name), at)), name).toBe(begin);
  expect(iso(start(parse("1w"), time("1999-12-31T00:00:00Z")))).toBe("1999-12-27T00:00:00Z");
  expect(iso(start(parse("1mo"), time("1969-07-20T20:17:00Z")))).toBe("1969-07-01T00:00:00Z");
});

test("every time lies within its bar, and bars follow each other", () => {
  const widths = ["1s", "30s", "45m", "90m", "7h", "1d", "1w", "2w", "1mo", "3mo", "5mo", "1y", "10y"].map(parse);
  for (let i = 0; i < 2000; i++) {
    const at = Math.floor((i * 2654435761) % 6311433600) - 2208988800; // 1900 to 2100
    for (const w of widths) {
      const begin = start(w, at);
      const next = add(w, begin, 1);
      if (!(begin <= at && at < next && start(w, begin) === begin && start(w, next) === next && start(w, next - 1) === begin && add(w, next, -1) === begin)) {
        throw new Error(`${iso(at)} in bars of ${JSON.stringify(w)}: from ${iso(begin)} to ${iso(next)}`);
      }
    }
  }
});

test("bars back over months", () => {
  expect(iso(add(parse("1mo"), time("2026-03-01T00:00:00Z"), -80))).toBe("2019-07-01T00:00:00Z");
  expect(iso(add(parse("1w"), time("2026-11-23T00:00:00Z"), -2))).toBe("2026-11-09T00:00:00Z");
  expect([typical(parse("3mo")), typical(parse("45m"))]).toEqual([90 * 86400, 2700]);
});

test("names in words", () => {
  expect(["1m", "90m", "1mo", "2w"].map(spell)).toEqual(["1 minute", "90 minutes", "1 month", "2 weeks"]);
  expect(["30s", "1y"].map(unit)).toEqual(["second", "year"]);
  expect([same("60m", "1h"), same("12mo", "1y"), same("1m", "1mo"), same("x", "x"), same("x", "1m")]).toEqual([true, true, false, true, false]);
});

test("what is offered", () => {
  const listed = (["1s", "1m", "30m", "1h", "1mo"] as const).map((interval): Listed => ({ interval, ...parse(interval), materialized: interval === "1m" || interval === "1h" }));
  const names = listed.map((l) => l.interval);
  expect(direct(listed)).toEqual(["1m", "1h"]);
  expect(direct(Array.from({ length: 20 }, (_, i) => ({ interval: `${i + 1}m`, seconds: 60, months: 0, materialized: true })))).toHaveLength(7);
  expect(choices(names, "45m")).toEqual(["1s", "1m", "30m", "45m", "1h", "1mo"]);
  expect(choices(names, "1h")).toEqual(names);
  expect([known(names, "60m"), known(names, "45m")]).toEqual(["1h", "45m"]);
});

test("a rule is tested on bars enough, and not too many", () => {
  const days = (i: string) => testSpan(i) / 86400;
  expect(["1m", "1h", "4h", "1d", "1w", "1mo"].map(days)).toEqual([1, 1, 4, 30, 210, 900]);
  expect([testSpan("1s"), testSpan("30s")]).toEqual([4000, 86400]);
});
