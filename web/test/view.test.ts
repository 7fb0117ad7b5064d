import { expect, test } from "vitest";

import { defaults, formatView, parseView, viewFault, type View } from "../src/view";

const full: View = {
  symbol: "BTC-USDT",
  interval: "1h",
  bars: 321,
  range: { from: 1764028800, to: 1764115200 },
  indicators: [
    { name: "rsi", params: {} },
    { name: "bollinger", params: { period: "50", deviations: "2.5" }, series: ["upper", "percent_b"], place: "overlay" },
    { name: "odd", params: { text: "a,b=(c) @d:e %41 &f+g" }, series: [] },
    { name: "rsi", params: { period: "9" }, place: "pane" },
  ],
  marks: ["cross"],
  log: true,
  dock: "wide",
  tab: "alerts",
  sort: "-rsi_14",
  filter: "rsi_14<30 AAP",
};

test("a view survives the address", () => {
  expect(parseView(formatView(full))).toEqual(full);
  const plain = { ...defaults, symbol: "AAPL" };
  expect(formatView(plain)).toBe("?s=AAPL&i=5m");
  expect(parseView(formatView(plain))).toEqual(plain);
});

test("what is not understood is left out", () => {
  const view = parseView("?s=X&i=7q&bars=-1&from=zzz&to=2026-01-01T00:00:00Z&ind=rsi(period=%25E0%25A4%25A)&ind=%3Cb%3E&ind=sma(x)&marks=cross,nope&dock=up&tab=none&sort=1;drop");
  expect(view).toEqual({ ...defaults, symbol: "X", indicators: [{ name: "sma", params: {} }], marks: ["cross"] });
});

test("any interval survives the address; a wrong one says what is wanted", () => {
  for (const interval of ["30s", "90m", "45m", "1w", "1mo", "1y"]) {
    const view = { ...defaults, symbol: "A", interval };
    expect(parseView(formatView(view))).toEqual(view);
    expect(viewFault(formatView(view))).toBe("");
  }
  for (const i of ["7q", "0m", "1M", "7s", "11y", "1m'"]) {
    expect(parseView(`?i=${encodeURIComponent(i)}`).interval).toBe("5m");
    expect(viewFault(`?i=${encodeURIComponent(i)}`)).toMatch(/^interval: want .*, got ".*"\. This is 5m\.$/);
  }
  expect(viewFault("?i=7q")).toContain("a number of s, m, h, d, w, mo or y such as 90m");
  expect([viewFault(""), viewFault("?i=")]).toEqual(["", ""]);
});
