// Lengths of bars and where bars begin, as the database and the Go package
// interval compute it. It lists no interval: GET /v1/intervals does.

// Width is the length of a bar: a number of seconds, or of calendar months.
export interface Width {
  seconds: number;
  months: number;
}

const units: Record<string, Width & { word: string }> = {
  s: { seconds: 1, months: 0, word: "second" },
  m: { seconds: 60, months: 0, word: "minute" },
  h: { seconds: 3600, months: 0, word: "hour" },
  d: { seconds: 86400, months: 0, word: "day" },
  w: { seconds: 604800, months: 0, word: "week" },
  mo: { seconds: 0, months: 1, word: "month" },
  y: { seconds: 0, months: 12, word: "year" },
};

const maxYears = 10;
// Bars of a width in seconds are counted from a Monday.
const origin = Date.UTC(2000, 0, 3) / 1000;

// parse reads a name such as 30s, 90m, 4h, 1d, 2w, 3mo or 1y. It throws an error
// that says what is wanted.
export function parse(name: string): Width {
  const m = /^([1-9][0-9]{0,3})(s|m|h|d|w|mo|y)$/.exec(name);
  if (!m) throw new Error(`interval: want a number of s, m, h, d, w, mo or y such as 90m, got "${name}"`);
  const n = Number(m[1]);
  const unit = units[m[2]!]!;
  if (m[2] === "s" && 60 % n !== 0 && n % 60 !== 0) throw new Error(`interval: want seconds that divide a minute, got "${name}"`);
  const width = { seconds: n * unit.seconds, months: n * unit.months };
  if (width.months > 12 * maxYears || width.seconds > maxYears * 360 * 86400) throw new Error(`interval: want at most ${maxYears} years, got "${name}"`);
  return width;
}

// fault returns the error of a name; it is empty for a valid one.
export function fault(name: string): string {
  try {
    parse(name);
    return "";
  } catch (err) {
    return (err as Error).message;
  }
}

// start is where the bar begins that holds a time, both in seconds of UTC.
export function start(w: Width, time: number): number {
  if (w.months === 0) return origin + Math.floor((time - origin) / w.seconds) * w.seconds;
  const d = new Date(time * 1000);
  const months = (d.getUTCFullYear() - 2000) * 12 + d.getUTCMonth();
  return Date.UTC(2000, Math.floor(months / w.months) * w.months) / 1000;
}

// add is the start of the bar n bars after the one that begins at bar.
export function add(w: Width, bar: number, n: number): number {
  return w.months === 0 ? bar + n * w.seconds : new Date(bar * 1000).setUTCMonth(new Date(bar * 1000).getUTCMonth() + n * w.months) / 1000;
}

// typical is the length of a bar in seconds; a month counts as 30 days.
export function typical(w: Width): number {
  return w.seconds + w.months * 30 * 86400;
}

// same reports whether two names mean the same bars: 60m is 1h.
export function same(a: string, b: string): boolean {
  if (a === b) return true;
  if (fault(a) || fault(b)) return false;
  const [v, w] = [parse(a), parse(b)];
  return v.seconds === w.seconds && v.months === w.months;
}

// unit is the word for the unit of a name, and spell the name in words.
export function unit(name: string): string {
  return units[name.replace(/^[0-9]+/, "")]?.word ?? "";
}

export function spell(name: string): string {
  const n = parseInt(name, 10);
  return `${n} ${unit(name)}${n === 1 ? "" : "s"}`;
}
