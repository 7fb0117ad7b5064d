// The page: one view, kept in the address, and the parts that show it.

import "./style.css";

import { Alerts } from "./alerts";
import { apiKey, catalog, message, onUnauthorized, setApiKey, symbols, type AlertEvent, type Indicator, type LiveCandle, type Status, type Tick } from "./api";
import { ChartView } from "./chart";
import { byId, h, later, text } from "./dom";
import { fixed, percent } from "./format";
import { add, fault, parse, start as barStart } from "./interval";
import { IntervalPicker } from "./intervalpicker";
import { bindKeys } from "./keys";
import { Picker } from "./picker";
import { RuleForm } from "./ruleform";
import { Rules } from "./rules";
import { Screener } from "./screener";
import { Search } from "./search";
import { StatusStrip } from "./status";
import { Stream } from "./stream";
import { onTheme } from "./theme";
import { formatView, markKinds, parseView, tabs, viewFault, type Tab, type View } from "./view";

// The maximum number of the table's symbols to stream besides the chart's.
const followed = 100;

const presets: { label: string; title: string; interval: string; bars: number }[] = [
  { label: "1H", title: "Last hour", interval: "1m", bars: 60 },
  { label: "4H", title: "Last 4 hours", interval: "1m", bars: 240 },
  { label: "1D", title: "Last day", interval: "5m", bars: 288 },
  { label: "1W", title: "Last week", interval: "1h", bars: 168 },
  { label: "1M", title: "Last month", interval: "1h", bars: 720 },
  { label: "1Y", title: "Last year", interval: "1d", bars: 365 },
];

let view = parseView(location.search);
// A phone has room for fewer bars.
if (innerWidth < 600 && !new URLSearchParams(location.search).has("bars")) view.bars = 64;
let known: Indicator[] = [];
let table: string[] = [];
let picker: Picker | undefined;

const strip = new StatusStrip();
const chart = new ChartView(byId("chart"), view, {
  moved: (bars, range) => {
    view.bars = bars;
    if (range) view.range = range;
    else delete view.range;
    remember();
    drawBar();
  },
  settings: (i) => void picker?.open(i),
  remove: (i) => change({ indicators: view.indicators.filter((_, j) => j !== i) }),
  drawn: () => picker?.drawn(),
  price: (last, before, digits) => {
    const base = before?.close ?? last?.open;
    const now = last && base ? `${fixed(last.close, digits)}` : "";
    const moved = last && base ? percent(last.close / base - 1) : "";
    text(byId("price"), now);
    byId("price").dataset["tone"] = last && base ? (last.close > base ? "up" : last.close < base ? "down" : "") : "";
    document.title = now ? `${view.symbol} ${now} ${moved} · Hypertick` : "Hypertick";
  },
  state: (state, detail) => {
    const el = byId("chart-note");
    text(el, state === "empty" ? `${view.symbol} has no bars here.` : detail);
    el.hidden = el.textContent === "";
    document.body.dataset["chart"] = state;
  },
});
const screener = new Screener({
  pick: (symbol) => go(symbol),
  sort: (sort) => change({ sort }),
  filter: (filter) => change({ filter }),
  symbols: (found) => {
    table = found;
    follow();
  },
});
const alerts = new Alerts({
  pick: (e) => openAlert(e),
  counted: (firing, tone) => strip.alerts(firing, tone),
});
const intervals = new IntervalPicker([...new Set(presets.map((p) => p.interval))], (i) => setInterval_(i), () => drawBar());
const rules = new Rules({ edit: (r) => void form.open(r) });
const form = new RuleForm(intervals, {
  view: () => view,
  written: (r) => {
    pick("rules");
    void rules.added(r);
  },
  stale: () => void rules.refresh(),
});
const search = new Search((symbol) => go(symbol));
picker = new Picker({
  view: () => view,
  catalog: (found) => {
    known = found;
    void chart.show(view, known);
  },
  study: (i) => chart.study(i),
  change: (c) => change(c),
});
const stream = new Stream({
  link: (link) => strip.onLink(link),
  opened: (again) => {
    if (again) void intervals.refresh();
    void chart.caughtUp();
    void alerts.refresh();
  },
  event: (name, data) => {
    if (name === "tick") {
      const t = data as Tick;
      strip.onTick(t);
      chart.tick(t);
      screener.tick(t);
    } else if (name === "candle") chart.candle(data as LiveCandle);
    else if (name === "alert") {
      alerts.event(data as AlertEvent);
      chart.alert(data as AlertEvent);
    } else if (name === "status") strip.onStatus(data as Status);
    // The server has lost changes: the shown values may be wrong.
    else if (name === "reset") {
      chart.reset((data as { symbol?: string }).symbol);
      void alerts.refresh();
    }
  },
});

// change applies every change that the user makes to the view.
function change(c: Partial<View>): void {
  view = { ...view, ...c };
  remember();
  apply();
}

// go is a change that the back button undoes.
function go(symbol: string, c: Partial<View> = {}): void {
  const next: View = { ...view, ...c, symbol };
  if (!c.range) delete next.range;
  if (next.dock === "wide") next.dock = "open";
  view = next;
  history.pushState(null, "", formatView(view));
  apply();
}

// openAlert shows an alert's bar: live if it is in sight there, else at its time.
function openAlert(e: AlertEvent): void {
  const interval = e.interval ?? "";
  if (fault(interval)) return;
  const at = Date.parse(e.bar) / 1000;
  const width = parse(interval);
  const old = at < add(width, barStart(width, Date.now() / 1000), 8 - view.bars);
  const half = Math.round(view.bars / 2);
  go(e.symbol, { interval, ...(old ? { range: { from: add(width, at, -half), to: add(width, at, half) } } : {}) });
}

// pick shows a tab of the dock.
function pick(tab: Tab): void {
  change({ tab, dock: view.dock === "wide" && tab === "screener" ? "wide" : "open" });
}

const remember = () => history.replaceState(null, "", formatView(view));

function apply(): void {
  drawBar();
  const shown = view.dock === "closed" && innerWidth > 860 ? "" : view.tab;
  screener.show(view.interval, view.sort, view.filter, view.symbol, shown === "screener");
  alerts.show(view.symbol, shown === "alerts");
  rules.show(shown === "rules");
  if (!view.symbol) return;
  void chart.show(view, known);
  follow();
}

const follow = later(50, () => {
  if (!view.symbol || document.hidden) return;
  const others = view.dock === "closed" ? [] : table.slice(0, followed);
  stream.open([...new Set([view.symbol, ...others])].sort(), view.interval);
});

function drawBar(): void {
  text(byId("symbol-name"), view.symbol || "–");
  intervals.draw(view.interval);
  for (const [i, el] of [...document.querySelectorAll<HTMLElement>("[data-preset]")].entries()) {
    const p = presets[i]!;
    el.setAttribute("aria-pressed", String(!view.range && view.interval === p.interval && view.bars === p.bars));
  }
  byId("live").hidden = view.range === undefined;
  byId("log").setAttribute("aria-pressed", String(view.log));
  byId("dock-toggle").setAttribute("aria-pressed", String(view.dock !== "closed"));
  document.body.dataset["dock"] = view.dock;
  for (const tab of tabs) {
    byId(`panel-${tab}`).hidden = tab !== view.tab;
    const el = byId(`tab-${tab}`);
    el.setAttribute("aria-selected", String(tab === view.tab));
    el.tabIndex = tab === view.tab ? 0 : -1;
  }
}

function setInterval_(interval: string): void {
  delete view.range;
  chart.fault("");
  change({ interval });
}

function buttons(): void {
  byId("presets").append(...presets.map((p) => h("button", { "data-preset": p.label, title: p.title, onclick: () => preset(p) }, p.label)));
  const click = (id: string, run: () => void) => byId(id).addEventListener("click", run);
  click("symbol", () => search.open());
  click("indicators", () => void picker?.open());
  click("log", () => change({ log: !view.log }));
  click("live", () => chart.toLive());
  click("dock-toggle", () => change({ dock: view.dock === "closed" ? "open" : "closed" }));
  for (const tab of tabs) click(`tab-${tab}`, () => pick(tab));
  byId("tabs").addEventListener("keydown", (e) => {
    const by = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (by === 0) return;
    e.preventDefault();
    const next = tabs[(tabs.indexOf(view.tab) + by + tabs.length) % tabs.length]!;
    pick(next);
    byId(`tab-${next}`).focus();
  });
  click("strip-alerts", () => pick("alerts"));
  click("rule-new", () => void form.open());
  click("dock-wide", () => change({ dock: view.dock === "wide" ? "open" : "wide" }));
  click("help-open", () => byId<HTMLDialogElement>("help").showModal());
  for (const el of document.querySelectorAll<HTMLElement>("[data-close]")) el.addEventListener("click", () => el.closest("dialog")?.close());
}

function preset(p: (typeof presets)[number]): void {
  delete view.range;
  change({ interval: p.interval, bars: p.bars });
  chart.toLive();
}

bindKeys([
  { keys: ["/"], label: "find a symbol", run: () => search.open() },
  { keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], shown: ["1", "… 9"], label: "the first to the ninth interval at the top", run: (k) => intervals.nth(Number(k)) },
  { keys: ["t"], label: "any interval", run: () => intervals.open(view.interval) },
  { keys: ["i"], label: "indicators", run: () => void picker?.open() },
  { keys: ["ArrowUp", "ArrowDown"], label: "symbol above, below in the screener", run: (k) => step(k === "ArrowUp" ? -1 : 1) },
  { keys: ["ArrowLeft", "ArrowRight"], label: "back and forth in time", run: (k) => chart.scroll(k === "ArrowLeft" ? -0.25 : 0.25) },
  { keys: ["+", "-"], label: "zoom", run: (k) => chart.scale(k === "+" ? 0.75 : 1.33) },
  { keys: ["End"], label: "to the newest bar", run: () => chart.toLive() },
  { keys: ["l"], label: "logarithmic scale", run: () => change({ log: !view.log }) },
  { keys: ["m"], label: "marks on, off", run: () => change({ marks: view.marks.length > 0 ? [] : [...markKinds] }) },
  { keys: ["s"], label: "panel on, off", run: () => change({ dock: view.dock === "closed" ? "open" : "closed" }) },
  { keys: ["w"], label: "screener: all columns", run: () => change({ tab: "screener", dock: view.dock === "wide" ? "open" : "wide" }) },
  { keys: ["f"], label: "filter the screener", run: () => { pick("screener"); screener.focusFilter(); } },
  { keys: ["a"], label: "alerts", run: () => pick("alerts") },
  { keys: ["r"], label: "alert rules", run: () => pick("rules") },
  { keys: ["?"], label: "this list", run: () => byId<HTMLDialogElement>("help").showModal() },
]);

function step(by: number): void {
  const symbol = screener.neighbour(by);
  if (symbol && symbol !== view.symbol) go(symbol);
}

window.addEventListener("popstate", () => {
  view = parseView(location.search);
  chart.fault(viewFault(location.search));
  apply();
});

onTheme(() => chart.paint());

// A page out of sight lets go of its stream: browsers allow six connections to
// a server, and a trader has more tabs than that.
let hiding = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = window.setTimeout(() => stream.close(), 30_000);
  else {
    follow();
    void intervals.refresh();
    void screener.refresh();
    void rules.refresh();
  }
});

onUnauthorized(() => {
  const dialog = byId<HTMLDialogElement>("key");
  if (dialog.open) return;
  text(byId("key-note"), apiKey() ? "The server does not accept that key." : "This server wants an API key.");
  dialog.showModal();
});
byId<HTMLFormElement>("key-form").addEventListener("submit", () => {
  setApiKey(byId<HTMLInputElement>("key-input").value.trim());
  location.reload();
});

async function start(): Promise<void> {
  buttons();
  drawBar();
  chart.fault(viewFault(location.search));
  // The catalog, the intervals and the first symbol are asked for at once.
  const [defs, first] = await Promise.allSettled([catalog(), view.symbol ? null : symbols("", 1), intervals.refresh()]);
  if (defs.status === "fulfilled") known = defs.value.data;
  if (first.status === "fulfilled" && first.value) view.symbol = first.value.data[0]?.symbol ?? "";
  if (!view.symbol) {
    const why = first.status === "rejected" ? message(first.reason) : "No symbol has traded yet. This page looks again every few seconds.";
    text(byId("chart-note"), why);
    byId("chart-note").hidden = false;
    window.setTimeout(() => location.reload(), 5000);
    return;
  }
  remember();
  apply();
}

void start();
