// The legend in the top left corner of each pane: exact values.

import { h, icon, icons, text } from "./dom";
import type { Bar } from "./bars";
import { clock, exact, fixed, percent } from "./format";
import type { Width } from "./interval";
import type { Study } from "./study";

interface Row {
  el: HTMLElement;
  study: Study;
  values: Map<string, HTMLElement>;
}

export class Legend {
  private readonly panes: HTMLElement[] = [];
  private readonly fields = new Map<string, HTMLElement>();
  private readonly bar: HTMLElement;
  private readonly note = h("div", { class: "note" });
  private readonly lost = h("div", { class: "note warn" });
  private readonly wrong = h("div", { class: "note warn", role: "status" });
  private rows: Row[] = [];
  private layoutKey = "";

  constructor(
    private readonly box: HTMLElement,
    private readonly on: { settings: (index: number) => void; remove: (index: number) => void },
  ) {
    const field = (name: string, label: string) => {
      const value = h("b");
      this.fields.set(name, value);
      return h("span", { class: `f-${name}` }, h("i", {}, label), value);
    };
    this.bar = h("div", { class: "ohlc" },
      field("time", ""), field("open", "O"), field("high", "H"), field("low", "L"), field("close", "C"),
      field("change", ""), field("volume", "Vol"), field("buys", "Buys"), field("vwap", "VWAP"), field("trades", "Trades"));
  }

  private pane(i: number): HTMLElement {
    let el = this.panes[i];
    if (!el) {
      el = h("div", { class: "legend" });
      this.panes[i] = el;
      this.box.append(el);
      if (i === 0) el.append(this.bar, this.note, this.lost, this.wrong);
    }
    return el;
  }

  // missing shows which indicators of a shared view the database does not have.
  missing(names: string[]): void {
    text(this.lost, names.length > 0 ? `This database has no indicator ${names.join(", ")}.` : "");
  }

  // fault shows which part of the address is invalid.
  fault(what: string): void {
    text(this.wrong, what);
  }

  studies(studies: Study[]): void {
    const key = studies.map((s) => [s.label, s.error, s.pane(), ...[...s.lines].map(([n, l]) => n + l.color + l.place)].join("|")).join("\n");
    if (key === this.layoutKey && studies.every((s, i) => this.rows[i]?.study === s)) return;
    this.layoutKey = key;
    for (const r of this.rows) r.el.remove();
    this.rows = studies.map((study, index) => {
      const values = new Map<string, HTMLElement>();
      const el = h("div", { class: "study", "data-indicator": study.def.name },
        h("button", { class: "name", title: `${study.def.title}: settings`, onclick: () => this.on.settings(index) }, study.label));
      for (const [name, line] of study.lines) {
        const value = h("b");
        value.style.color = line.histogram ? "" : line.color;
        values.set(name, value);
        el.append(h("span", { title: study.describe(name) }, study.lines.size > 1 ? h("i", {}, name.replaceAll("_", " ")) : null, value));
      }
      if (study.error) el.append(h("span", { class: "bad" }, study.error));
      else if (study.lines.size === 0) el.append(h("span", { class: "muted" }, study.points ? "no values here" : "…"));
      el.append(
        h("button", { class: "small", "aria-label": `Settings of ${study.label}`, onclick: () => this.on.settings(index) }, icon(icons.settings) as unknown as Node),
        h("button", { class: "small", "aria-label": `Remove ${study.label}`, onclick: () => this.on.remove(index) }, icon(icons.close) as unknown as Node));
      const overlay = [...study.lines.values()].some((l) => l.place === "overlay");
      this.pane(overlay ? 0 : (study.pane() ?? 0)).append(el);
      return { el, study, values };
    });
  }

  tell(b: Bar | undefined, before: Bar | undefined, digits: number, width: Width, marks: string): void {
    this.pane(0);
    this.bar.classList.toggle("gone", b === undefined);
    if (!b) return;
    const set = (name: string, value: string) => text(this.fields.get(name)!, value);
    set("time", clock(b.time, width));
    set("open", fixed(b.open, digits));
    set("high", fixed(b.high, digits));
    set("low", fixed(b.low, digits));
    set("close", fixed(b.close, digits));
    const base = before?.close ?? b.open;
    set("change", base ? `${b.close >= base ? "+" : ""}${fixed(b.close - base, digits)} (${percent(b.close / base - 1)})` : "");
    set("volume", exact(b.volume));
    // Most feeds tell no side: then there is nothing to show.
    const buys = b.volume === 0 ? null : b.buyVolume;
    this.fields.get("buys")!.parentElement!.hidden = buys === null;
    if (buys !== null) set("buys", `${exact(buys)} (${fixed((100 * buys) / b.volume, 0)}%)`);
    set("vwap", b.vwap === null ? "–" : fixed(b.vwap, Math.min(digits + 2, 8)));
    set("trades", exact(b.trades));
    this.bar.classList.toggle("up", b.close > base);
    this.bar.classList.toggle("down", b.close < base);
    text(this.note, marks);
    for (const r of this.rows) for (const [name, el] of r.values) text(el, r.study.value(name, b.time, digits));
  }

  // layout puts each legend on its pane.
  layout(elements: (HTMLElement | null)[]): void {
    const top = this.box.getBoundingClientRect().top;
    this.panes.forEach((el, i) => {
      const pane = elements[i];
      el.hidden = !pane;
      if (pane) el.style.transform = `translateY(${Math.round(pane.getBoundingClientRect().top - top)}px)`;
    });
  }
}
