// The state of the page. All of it is in the address, so that a view can be
// shared, bookmarked and reloaded.

import { fault } from "./interval";

export const markKinds = ["zscore", "volume", "cross", "alert"] as const;
export type MarkKind = (typeof markKinds)[number];

export type Place = "overlay" | "pane";

// Shown is one indicator on the chart.
export interface Shown {
  name: string;
  params: Record<string, string>;
  // Which of its series; without it, those that fit (see place.ts).
  series?: string[];
  place?: Place;
}

export type Dock = "open" | "wide" | "closed";

// What the dock beside the chart shows.
export const tabs = ["screener", "alerts", "rules"] as const;
export type Tab = (typeof tabs)[number];

export interface View {
  symbol: string;
  // As parse of interval.ts takes it.
  interval: string;
  // bars is the zoom while the newest bar is in sight; range the time range,
  // in seconds, while it is not.
  bars: number;
  range?: { from: number; to: number };
  indicators: Shown[];
  marks: MarkKind[];
  log: boolean;
  dock: Dock;
  tab: Tab;
  sort: string;
  filter: string;
}

export const defaults: View = {
  symbol: "",
  interval: "5m",
  bars: 160,
  indicators: [],
  marks: [...markKinds],
  log: false,
  dock: "open",
  tab: "screener",
  sort: "symbol",
  filter: "",
};

export function parseView(search: string): View {
  const q = new URLSearchParams(search);
  const view: View = { ...defaults, indicators: q.getAll("ind").flatMap((s) => parseShown(s) ?? []) };
  view.symbol = q.get("s") ?? "";
  const interval = q.get("i") ?? "";
  if (!fault(interval)) view.interval = interval;
  const bars = Number(q.get("bars"));
  if (bars >= 5 && bars <= 20000) view.bars = Math.round(bars);
  const from = Date.parse(q.get("from") ?? "");
  const to = Date.parse(q.get("to") ?? "");
  if (from < to) view.range = { from: from / 1000, to: to / 1000 };
  const marks = q.get("marks");
  if (marks !== null) view.marks = markKinds.filter((k) => marks.split(",").includes(k));
  view.log = q.get("log") === "1";
  const dock = q.get("dock");
  if (dock === "open" || dock === "wide" || dock === "closed") view.dock = dock;
  const tab = q.get("tab") as Tab;
  if (tabs.includes(tab)) view.tab = tab;
  view.sort = /^-?[a-z][a-z0-9_]*$/.exec(q.get("sort") ?? "")?.[0] ?? defaults.sort;
  view.filter = q.get("filter") ?? "";
  return view;
}

// viewFault describes the part of an address that parseView rejects, if the user
// must know.
export function viewFault(search: string): string {
  const interval = new URLSearchParams(search).get("i");
  const wrong = interval ? fault(interval) : "";
  return wrong && `${wrong}. This is ${defaults.interval}.`;
}

// formatView is the inverse of parseView; what is at its default is left out.
export function formatView(view: View): string {
  const q: string[] = [];
  const put = (name: string, value: string) => q.push(`${name}=${encodeURIComponent(value).replaceAll("%3A", ":").replaceAll("%2C", ",")}`);
  if (view.symbol) put("s", view.symbol);
  put("i", view.interval);
  if (view.range) {
    put("from", iso(view.range.from));
    put("to", iso(view.range.to));
  }
  if (view.bars !== defaults.bars) put("bars", String(view.bars));
  for (const s of view.indicators) q.push(`ind=${formatShown(s)}`);
  if (view.marks.length !== markKinds.length) put("marks", view.marks.join(","));
  if (view.log) put("log", "1");
  if (view.dock !== defaults.dock) put("dock", view.dock);
  if (view.tab !== defaults.tab) put("tab", view.tab);
  if (view.sort !== defaults.sort) put("sort", view.sort);
  if (view.filter) put("filter", view.filter);
  return "?" + q.join("&");
}

const iso = (t: number) => new Date(t * 1000).toISOString().replace(".000Z", "Z");

// An indicator is written name(param=value,...):series,...@place.
function formatShown(s: Shown): string {
  let out = encodeURIComponent(s.name);
  const params = Object.entries(s.params).map(([k, v]) => `${encodeURIComponent(k)}=${word(v)}`);
  if (params.length > 0) out += `(${params.join(",")})`;
  if (s.series) out += ":" + s.series.map(encodeURIComponent).join(",");
  if (s.place) out += "@" + s.place;
  return out;
}

// A value is encoded once for our own syntax and once for the address.
const word = (v: string) => encodeURIComponent(encodeURIComponent(v).replaceAll("(", "%28").replaceAll(")", "%29"));

function parseShown(s: string): Shown | null {
  const m = /^([A-Za-z_][A-Za-z0-9_$]*)(?:\(([^()]*)\))?(?::([^@]*))?(?:@(overlay|pane))?$/.exec(s);
  if (!m?.[1]) return null;
  const shown: Shown = { name: m[1], params: {} };
  for (const pair of (m[2] ?? "").split(",")) {
    const eq = pair.indexOf("=");
    if (eq <= 0) continue;
    try {
      shown.params[pair.slice(0, eq)] = decodeURIComponent(pair.slice(eq + 1));
    } catch {
      return null;
    }
  }
  if (m[3] !== undefined) shown.series = m[3].split(",").filter(Boolean);
  if (m[4]) shown.place = m[4] as Place;
  return shown;
}

export function shownKey(s: Shown): string {
  return JSON.stringify([s.name, Object.entries(s.params).sort()]);
}
