// Numbers and times as the page writes them. Times are UTC, as in the API.

import { typical, type Width } from "./interval";

const formats = new Map<string, Intl.NumberFormat>();

function number(min: number, max: number, value: number): string {
  const key = `${min},${max}`;
  let f = formats.get(key);
  if (!f) formats.set(key, (f = new Intl.NumberFormat("en-US", { minimumFractionDigits: min, maximumFractionDigits: max })));
  return f.format(value).replace("-", "−");
}

export function fixed(value: number, digits: number): string {
  return number(digits, digits, value);
}

// exact writes every digit there is, for quantities that differ in precision.
export function exact(value: number): string {
  return number(0, 8, value);
}

const steps: [number, string][] = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];

export function compact(value: number): string {
  const size = Math.abs(value);
  for (const [unit, name] of steps) if (size >= unit * 0.9995) return significant(value / unit, 3) + name;
  return significant(value, 3);
}

export function significant(value: number, digits: number): string {
  if (value === 0) return "0";
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
  return number(0, Math.min(places, 10), value);
}

export function percent(fraction: number, digits = 2): string {
  const shown = number(digits, digits, fraction * 100);
  return (fraction > 0 && !/^[0.]+$/.test(shown) ? "+" : "") + shown + "%";
}

// decimals is how many a price of these is written with.
export function decimals(prices: Iterable<number>): number {
  let most = 0;
  for (const p of prices) {
    const s = String(p);
    const e = s.indexOf("e-");
    const dot = s.indexOf(".");
    const n = e > 0 ? Number(s.slice(e + 2)) + (dot > 0 ? e - dot - 1 : 0) : dot > 0 ? s.length - dot - 1 : 0;
    if (n > most) most = n;
  }
  return Math.min(Math.max(most, 2), 8);
}

// digits is how many decimals an axis of values of this size needs.
export function digits(size: number): number {
  if (!(size > 0)) return 2;
  return Math.min(Math.max(0, 2 - Math.floor(Math.log10(size))), 8);
}

// clock writes the start of a bar as exactly as bars of its width need.
export function clock(time: number, width: Width): string {
  const iso = new Date(time * 1000).toISOString();
  const whole = typical(width) >= 86400 ? 10 : width.seconds % 60 === 0 ? 16 : 19;
  return iso.slice(0, whole).replace("T", " ");
}

// span writes a length of time with one unit, or two where one says little.
export function span(seconds: number): string {
  const s = Math.max(0, seconds);
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}
