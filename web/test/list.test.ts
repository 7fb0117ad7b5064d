import { describe, expect, it } from "vitest";
import { cut, join, show } from "../src/list";

describe("lists of symbols", () => {
  it("are joined for a query", () => {
    expect(join(["BTC/USDT", "A,B", "*", "a\\b", "SPX*"])).toBe("BTC/USDT,A\\,B,\\*,a\\\\b,SPX\\*");
  });
  it("are cut at commas of their own", () => {
    expect(cut("AAPL, BTC-*,A\\,B , SPX\\*, BRK B,, a\\\\, ")).toEqual(["AAPL", "BTC-*", "A\\,B", "SPX\\*", "BRK B", "a\\\\"]);
    expect(cut("")).toEqual([]);
    expect(cut("币安人生USDT,🚀\\")).toEqual(["币安人生USDT", "🚀\\"]);
  });
  it("come back as they were", () => {
    for (const list of [["*"], ["A\\,B", "C"], ["a\\\\", "b"], ["SPY   251219C00650000", "M&M.NS"]]) expect(cut(show(list))).toEqual(list);
    expect(cut(show(["A,B"]))).toEqual(["A\\,B"]); // the same to the server
  });
});
