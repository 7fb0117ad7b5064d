// Where an indicator is drawn. Nothing here knows indicators by name: one that
// somebody adds in a migration is placed by its values and by what its COMMENT
// says of its series, as the built-in ones are.

import type { Bar } from "./bars";
import type { Place } from "./view";

// bounds reads the range that a series' description begins with: "0 to 100; ...".
export function bounds(description: string): [number, number] | null {
  const m = /^(-?\d+(?:\.\d+)?) to (-?\d+(?:\.\d+)?)\b/.exec(description);
  return m ? [Number(m[1]), Number(m[2])] : null;
}

// levels reads the values that a description calls remarkable: "below 30 is
// read as oversold, above 70 ...", "beyond 3 or -3 is unusual".
export function levels(description: string): number[] {
  const out = new Set<number>();
  for (const m of description.matchAll(/\b(?:below|above|beyond)\s+(-?\d+(?:\.\d+)?)(?:\s+(?:or|and)\s+(-?\d+(?:\.\d+)?))?/gi)) {
    for (const v of [m[1], m[2]]) if (v !== undefined) out.add(Number(v));
  }
  return [...out].sort((a, b) => a - b);
}

// place puts a series on the prices when it lives where they live: most of its
// values within the prices' range or near it, and moving no more from bar to
// bar than they do. The second tells an oscillator that happens to pass through
// the prices of a symbol worth 50 from an average of them.
export function place(values: ReadonlyMap<number, number>, bars: readonly Bar[], description = ""): Place {
  if (bounds(description)) return "pane";
  let low = Infinity;
  let high = -Infinity;
  let inside = 0;
  let count = 0;
  let path = 0;
  let pricePath = 0;
  let before: { value: number; close: number } | null = null;
  const both: number[] = [];
  for (const b of bars) {
    const v = values.get(b.time);
    if (v === undefined || !Number.isFinite(v)) continue;
    low = Math.min(low, b.low);
    high = Math.max(high, b.high);
    both.push(v);
    count++;
    if (before) {
      path += Math.abs(v - before.value);
      pricePath += Math.abs(b.close - before.close);
    }
    before = { value: v, close: b.close };
  }
  if (count === 0) return "pane";
  const room = Math.max(high - low, high * 0.01);
  for (const v of both) if (v >= low - room && v <= high + room) inside++;
  return inside >= 0.9 * count && path <= 1.5 * pricePath + 1e-9 * Math.abs(high) ? "overlay" : "pane";
}

// fitting are the series that are drawn unless the user picks others: those on
// the prices where there are any, otherwise all.
export function fitting(places: ReadonlyMap<string, Place>): string[] {
  const names = [...places.keys()];
  const overlays = names.filter((n) => places.get(n) === "overlay");
  return overlays.length > 0 ? overlays : names;
}
