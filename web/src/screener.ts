// The table of all symbols. The server sorts and filters; prices move with the
// stream in between.

import { aborted, candles, get, message, type Page, type ScreenerRow, type Tick } from "./api";
import { byId, frame, h, later, svg, text } from "./dom";
import { decimals, fixed, percent, significant } from "./format";
import { parse, start, type Width } from "./interval";

interface Column {
  name: string;
  label: string;
  title: string;
  // How early it gives way when the table is narrow; 0 never does.
  rank: number;
  format: (v: number, row: ScreenerRow) => string;
  tone?: (v: number, row: ScreenerRow) => string;
}

const signed = (v: number) => (v > 0 ? "up" : v < 0 ? "down" : "");
const price = (v: number, row: ScreenerRow) => fixed(v, decimals([row.close]));
const versus = (v: number, row: ScreenerRow) => (row.close > v ? "up" : row.close < v ? "down" : "");

// A column that a migration of the user's adds to the screener comes last.
const other = (name: string): Column => ({ name, label: name.replaceAll("_", " "), title: name, rank: 4, format: (v) => significant(v, 4) });

const columns: Column[] = [
  { name: "close", label: "Last", title: "Last price", rank: 0, format: price },
  { name: "change", label: "Chg", title: "Change since the close of the bar before", rank: 1, format: (v) => percent(v), tone: signed },
  { name: "change_1d", label: "Day", title: "Change since the close of the UTC day before", rank: 0, format: (v) => percent(v), tone: signed },
  { name: "rsi_14", label: "RSI", title: "Relative strength, 14 bars", rank: 0, format: (v) => fixed(v, 1), tone: (v) => (v >= 70 ? "hot" : v <= 30 ? "cold" : "") },
  { name: "zscore", label: "Z", title: "Last return in standard deviations of 20", rank: 1, format: (v) => fixed(v, 1), tone: (v) => (Math.abs(v) >= 3 ? "alert" : Math.abs(v) >= 2 ? "hot" : "") },
  { name: "volume_ratio", label: "Vol ×", title: "Volume over the usual of 20 bars", rank: 1, format: (v) => fixed(v, 1), tone: (v) => (v >= 3 ? "alert" : v >= 2 ? "hot" : "") },
  { name: "trend", label: "Trend", title: "Fast average against slow, 50 and 200 bars", rank: 2, format: (v) => (v > 0 ? "▲ up" : v < 0 ? "▼ down" : "– flat"), tone: signed },
  { name: "macd", label: "MACD", title: "12, 26", rank: 3, format: (v) => significant(v, 3), tone: signed },
  { name: "percent_b", label: "%B", title: "Place within the Bollinger bands: 0 lower, 1 upper", rank: 3, format: (v) => fixed(v, 2), tone: (v) => (v > 1 ? "hot" : v < 0 ? "cold" : "") },
  { name: "atr_14", label: "ATR", title: "Average true range, 14 bars", rank: 3, format: (v) => significant(v, 3) },
  { name: "ema_12", label: "EMA 12", title: "Green: price above", rank: 4, format: price, tone: versus },
  { name: "ema_26", label: "EMA 26", title: "Green: price above", rank: 4, format: price, tone: versus },
  { name: "sma_20", label: "SMA 20", title: "Green: price above", rank: 4, format: price, tone: versus },
  { name: "sma_50", label: "SMA 50", title: "Green: price above", rank: 4, format: price, tone: versus },
  { name: "sma_200", label: "SMA 200", title: "Green: price above", rank: 4, format: price, tone: versus },
];

interface Line {
  el: HTMLTableRowElement;
  // The row of the server, and the same with the newest trade.
  said: ScreenerRow;
  row: ScreenerRow;
  cells: Map<string, HTMLTableCellElement>;
  spark: HTMLElement;
  sparked: boolean;
}

const every = 10_000;
const day = parse("1d");

export class Screener {
  private readonly body = byId<HTMLTableSectionElement>("screener-body");
  private readonly head = byId<HTMLTableRowElement>("screener-head");
  private readonly filter = byId<HTMLInputElement>("screener-filter");
  private readonly note = byId("screener-note");
  private readonly lines = new Map<string, Line>();
  private order: string[] = [];
  private interval = "";
  private width = day;
  private sort = "symbol";
  private current = "";
  private asking = new AbortController();
  private timer = 0;
  private active = false;
  // The newest trade of each symbol.
  private readonly live = new Map<string, { ts: number; price: number }>();
  private readonly ticked = new Set<string>();
  private readonly seen: IntersectionObserver;
  private queue: Line[] = [];
  private drawing = 0;

  constructor(
    private readonly on: {
      pick: (symbol: string) => void;
      sort: (sort: string) => void;
      filter: (filter: string) => void;
      symbols: (symbols: string[]) => void;
    },
  ) {
    this.filter.addEventListener("input", later(250, () => on.filter(this.filter.value)));
    this.filter.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && this.order[0]) on.pick(this.order[0]);
      if (e.key === "Escape") this.filter.blur();
    });
    for (const el of document.querySelectorAll<HTMLButtonElement>("[data-filter]")) {
      el.addEventListener("click", () => {
        const f = el.dataset["filter"]!;
        on.filter(this.filter.value === f ? "" : f);
      });
    }
    this.seen = new IntersectionObserver((entries) => {
      for (const e of entries) {
        const line = this.lines.get((e.target as HTMLElement).dataset["symbol"] ?? "");
        if (e.isIntersecting && line && !line.sparked) {
          line.sparked = true;
          this.queue.push(line);
        }
      }
      this.sparks();
    });
    this.heads();
    window.setInterval(() => this.lines.forEach((l) => (l.sparked = false)), 300_000);
  }

  private heads(): void {
    const head = (name: string, label: string, title: string, rank: number) =>
      h("th", { scope: "col", class: `r${rank}`, "data-column": name },
        h("button", { title, onclick: () => this.on.sort(this.sort === name ? `-${name}` : this.sort === `-${name}` ? name : name === "symbol" ? name : `-${name}`) }, label));
    this.head.replaceChildren(head("symbol", "Symbol", "Name", 0), h("th", { class: "r1 spark", scope: "col" }, "Trail"),
      ...columns.map((c) => head(c.name, c.label, c.title, c.rank)));
  }

  private sorted(): void {
    for (const th of this.head.querySelectorAll<HTMLElement>("[data-column]")) {
      const name = th.dataset["column"];
      th.setAttribute("aria-sort", this.sort === name ? "ascending" : this.sort === `-${name}` ? "descending" : "none");
    }
  }

  show(interval: string, sort: string, filter: string, current: string, active: boolean): void {
    const again = interval !== this.interval || sort !== this.sort || filter !== this.shownFilter || (active && !this.active);
    this.width = parse(interval);
    Object.assign(this, { interval, sort, current, active });
    if (document.activeElement !== this.filter || filter === "") this.filter.value = filter;
    for (const el of document.querySelectorAll<HTMLElement>("[data-filter]")) el.setAttribute("aria-pressed", String(el.dataset["filter"] === filter));
    this.sorted();
    this.mark();
    if (again) {
      this.shownFilter = filter;
      void this.refresh();
    }
  }
  private shownFilter = "";

  private conditions(): { filter: string[]; name: string } {
    return conditions(this.shownFilter, ["symbol", "bucket", ...columns.map((c) => c.name)]);
  }

  async refresh(): Promise<void> {
    clearTimeout(this.timer);
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    if (!this.active) return;
    const { filter, name } = this.conditions();
    const desc = this.sort.startsWith("-");
    try {
      const query = { interval: this.interval, sort: this.sort.replace("-", ""), order: desc ? "desc" : "asc", limit: 500, filter };
      const got = await get<Page<ScreenerRow>>("v1/screener", query, signal);
      const rows = got.data.filter((r) => r.symbol.toLowerCase().includes(name));
      this.fill(rows);
      text(this.note, rows.length > 0 ? "" : this.shownFilter ? "No symbol fulfils that." : "No symbol has traded yet.");
      this.note.classList.remove("bad");
    } catch (err) {
      if (aborted(err)) return;
      text(this.note, message(err));
      this.note.classList.add("bad");
    }
    if (!signal.aborted) this.timer = window.setTimeout(() => void this.refresh(), every);
  }

  private learn(rows: ScreenerRow[]): void {
    const more = Object.keys(rows[0] ?? {}).filter((name) => name !== "symbol" && name !== "bucket" && !columns.some((c) => c.name === name));
    if (more.length === 0) return;
    columns.push(...more.map(other));
    this.heads();
    this.sorted();
    for (const line of this.lines.values()) line.el.remove();
    this.lines.clear();
    this.order = [];
  }

  private fill(rows: ScreenerRow[]): void {
    this.learn(rows);
    const order = rows.map((r) => r.symbol);
    for (const [symbol, line] of this.lines) {
      if (order.includes(symbol)) continue;
      this.seen.unobserve(line.el);
      line.el.remove();
      this.lines.delete(symbol);
    }
    for (const row of rows) {
      let line = this.lines.get(row.symbol);
      if (!line) this.lines.set(row.symbol, (line = this.make(row)));
      line.said = row;
      line.row = this.moved(row);
      for (const c of columns) this.cell(line, c);
    }
    if (order.join("\n") !== this.order.join("\n")) {
      // Rows in their place are not touched.
      let at = this.body.firstElementChild;
      for (const symbol of order) {
        const { el } = this.lines.get(symbol)!;
        if (el === at) at = at.nextElementSibling;
        else this.body.insertBefore(el, at);
      }
      const before = this.order;
      this.order = order;
      if ([...before].sort().join("\n") !== [...order].sort().join("\n")) this.on.symbols(order);
    }
    this.mark();
  }

  private make(row: ScreenerRow): Line {
    const cells = new Map<string, HTMLTableCellElement>();
    const spark = h("td", { class: "r1 spark" });
    const el = h("tr", { "data-symbol": row.symbol, onclick: () => this.on.pick(row.symbol) },
      h("th", { scope: "row" }, h("button", {}, row.symbol)), spark,
      ...columns.map((c) => {
        const td = h("td", { class: `r${c.rank}` });
        cells.set(c.name, td);
        return td;
      }));
    this.seen.observe(el);
    return { el, said: row, row, cells, spark, sparked: false };
  }

  private cell(line: Line, c: Column): void {
    const td = line.cells.get(c.name)!;
    const v = line.row[c.name];
    const known = typeof v === "number";
    text(td, known ? c.format(v, line.row) : "–");
    const tone = known ? (c.tone?.(v, line.row) ?? "") : "muted";
    if (td.dataset["tone"] !== tone) td.dataset["tone"] = tone;
  }

  private mark(): void {
    for (const [symbol, line] of this.lines) {
      if (symbol === this.current) line.el.setAttribute("aria-current", "true");
      else line.el.removeAttribute("aria-current");
    }
  }

  // neighbour is the symbol some rows away from the one on the chart.
  neighbour(by: number): string | undefined {
    const i = this.order.indexOf(this.current);
    return this.order[Math.min(Math.max(i + by, 0), this.order.length - 1)];
  }

  focusFilter(): void {
    this.filter.focus();
    this.filter.select();
  }

  tick(t: Tick): void {
    if (!this.active || !this.lines.has(t.symbol) || (t.flags & 4) !== 0) return;
    this.live.set(t.symbol, { ts: Date.parse(t.ts) / 1000, price: t.price });
    this.ticked.add(t.symbol);
    this.flush();
  }

  // moved is a row of the server, which is of the last refresh, with the trades since.
  private moved(row: ScreenerRow): ScreenerRow {
    const live = this.live.get(row.symbol);
    const bucket = Date.parse(row.bucket) / 1000;
    if (!live || live.ts < bucket) return row;
    const out: ScreenerRow = { ...row, close: live.price };
    const since = (name: string, width: Width) => {
      const change = row[name];
      if (typeof change !== "number") return;
      // In a later bar, or on a later day, the close that it counts from is the row's own.
      const base = start(width, live.ts) > start(width, bucket) ? row.close : row.close / (1 + change);
      out[name] = live.price / base - 1;
    };
    since("change", this.width);
    since("change_1d", day);
    return out;
  }

  private readonly flush = frame(() => {
    for (const symbol of this.ticked) {
      const line = this.lines.get(symbol);
      if (!line) continue;
      const old = line.row.close;
      line.row = this.moved(line.said);
      if (line.row.close === old) continue;
      for (const c of columns.slice(0, 3)) this.cell(line, c);
      const td = line.cells.get("close")!;
      td.getAnimations().forEach((a) => a.cancel());
      td.animate([{ color: `var(--${line.row.close > old ? "up" : "down"})` }, {}], { duration: 700 });
    }
    this.ticked.clear();
  });

  // sparks draws the trail of the rows in sight, two requests at a time.
  private sparks(): void {
    while (this.drawing < 2) {
      const line = this.queue.shift();
      if (!line) return;
      this.drawing++;
      candles(line.row.symbol, { interval: "15m", limit: 96 })
        .then((got) => line.spark.replaceChildren(trail(got.data.map((c) => c.close))))
        .catch(() => (line.sparked = false))
        .finally(() => {
          this.drawing--;
          this.sparks();
        });
    }
  }
}

// conditions takes a filter apart: conditions for the server such as rsi_14<30, and
// part of a name, in lower case. ES=F is a name, for no column is called ES.
export function conditions(text: string, known: readonly string[]): { filter: string[]; name: string } {
  const filter: string[] = [];
  const name: string[] = [];
  for (const word of text.trim().split(/\s+/)) {
    const column = /^(\w+)(?:!=|=)\S/.exec(word)?.[1];
    if (/^\w+[<>]=?\S/.test(word) || (column !== undefined && known.includes(column))) filter.push(word);
    else name.push(word);
  }
  return { filter, name: name.join(" ").toLowerCase() };
}

const width = 72;
const height = 18;

function trail(closes: number[]): Node {
  if (closes.length < 2) return document.createTextNode("");
  const low = Math.min(...closes);
  const room = Math.max(...closes) - low || 1;
  const d = closes.map((c, i) => `${((i / (closes.length - 1)) * width).toFixed(1)} ${(height - 1 - ((c - low) / room) * (height - 2)).toFixed(1)}`).join("L");
  const tone = closes.at(-1)! >= closes[0]! ? "up" : "down";
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: tone, role: "img", "aria-label": `last 96 bars of 15 minutes: ${tone}` }, svg("path", { d: `M${d}` }));
}
