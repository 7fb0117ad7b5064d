import { expect, test } from "vitest";

import { clock, compact, decimals, digits, exact, fixed, percent, significant, span } from "../src/format";
import { parse } from "../src/interval";

test("numbers", () => {
  expect(fixed(1234.5, 2)).toBe("1,234.50");
  expect(fixed(-0.5, 1)).toBe("−0.5");
  expect(exact(0.1234567)).toBe("0.1234567");
  expect(compact(1_234_567)).toBe("1.23M");
  expect(compact(999_999)).toBe("1M");
  expect(compact(12)).toBe("12");
  expect(significant(0.00123456, 3)).toBe("0.00123");
  expect(significant(0, 3)).toBe("0");
  expect(percent(0.0123)).toBe("+1.23%");
  expect(percent(-0.0123)).toBe("−1.23%");
  expect(percent(0.0000001)).toBe("0.00%");
});

test("decimals are those of the prices", () => {
  expect(decimals([189, 189.5])).toBe(2);
  expect(decimals([0.12345])).toBe(5);
  expect(decimals([1e-7])).toBe(7);
  expect(decimals([1.5e-9])).toBe(8);
  expect(digits(50)).toBe(1);
  expect(digits(0.001)).toBe(5);
  expect(digits(0)).toBe(2);
});

test("times", () => {
  expect(clock(1764028800, parse("90m"))).toBe("2025-11-25 00:00");
  expect(clock(1764028800, parse("1d"))).toBe("2025-11-25");
  expect(clock(1764028800, parse("15s"))).toBe("2025-11-25 00:00:00");
  expect(clock(1764028800, parse("1mo"))).toBe("2025-11-25");
  expect([span(0.25), span(42), span(600), span(7200 * 2), span(86400 * 3)]).toEqual(["0.3 s", "42 s", "10 min", "4 h", "3 d"]);
});
