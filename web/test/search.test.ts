import { describe, expect, it } from "vitest";
import { conditions } from "../src/screener";
import { fit } from "../src/search";
import { formatView, parseView } from "../src/view";

describe("finding a symbol", () => {
  it("prefers the one that is written so", () => {
    expect(["aapl", "AAPL", "AAPL.B", "XAAPL"].sort((a, b) => fit(b, "AAPL") - fit(a, "AAPL"))).toEqual(["AAPL", "aapl", "AAPL.B", "XAAPL"]);
    expect(fit("币安人生USDT", "币安人生usdt")).toBe(2);
  });
  it("tells conditions from names", () => {
    const known = ["symbol", "close", "rsi_14"];
    expect(conditions("rsi_14<30 close>=2", known)).toEqual({ filter: ["rsi_14<30", "close>=2"], name: "" });
    for (const name of ["ES=F", "EURUSD=X", "BRK B", "M&M.NS", "^GSPC", "<b>bold</b>"]) expect(conditions(name, known)).toEqual({ filter: [], name: name.toLowerCase() });
    expect(conditions("symbol=ES=F es", known)).toEqual({ filter: ["symbol=ES=F"], name: "es" });
    expect(conditions("", known)).toEqual({ filter: [], name: "" });
  });
  it("keeps it in the address", () => {
    for (const symbol of ["^GSPC", "ES=F", "M&M.NS", "SPY   251219C00650000", "+ESZ5", "#BTC", "100%", "币安人生USDT", "A,B", "50%25", "a\\b"]) {
      expect(parseView(formatView({ ...parseView(""), symbol })).symbol).toBe(symbol);
    }
  });
});
