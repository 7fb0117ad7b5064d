// The indicators of the catalog, to add; those on the chart, to change.

import { catalog, message, type Indicator, type Parameter } from "./api";
import { byId, h, icon, icons, later } from "./dom";
import { markTitles } from "./marks";
import { markKinds, type Place, type Shown, type View } from "./view";
import type { Study } from "./study";

export interface PickerEvents {
  view: () => View;
  // The catalog, as it is now in the database.
  catalog: (found: Indicator[]) => void;
  study: (index: number) => Study | undefined;
  change: (change: Partial<View>) => void;
}

export class Picker {
  private readonly dialog = byId<HTMLDialogElement>("picker");
  private readonly input = byId<HTMLInputElement>("picker-input");
  private readonly list = byId("picker-list");
  private readonly active = byId("picker-active");
  private found: Indicator[] = [];
  private error = "";
  // Which of those on the chart is open for change.
  private editing = -1;

  constructor(private readonly on: PickerEvents) {
    this.input.addEventListener("input", () => this.drawList());
    this.input.addEventListener("keydown", (e) => {
      if (e.key !== "Enter") return;
      e.preventDefault();
      const first = this.matching()[0];
      if (first) this.add(first);
    });
    this.dialog.addEventListener("click", (e) => e.target === this.dialog && this.dialog.close());
  }

  // open reads the catalog again: a migration may have added to it.
  async open(editing = -1): Promise<void> {
    this.editing = editing;
    this.input.value = "";
    if (!this.dialog.open) this.dialog.showModal();
    if (editing < 0) this.input.focus();
    this.draw();
    try {
      this.found = (await catalog()).data;
      this.error = "";
      this.on.catalog(this.found);
    } catch (err) {
      this.error = message(err);
    }
    this.draw();
  }

  // drawn: the chart now knows which series it shows.
  drawn(): void {
    if (this.dialog.open && !this.active.contains(document.activeElement)) this.drawActive();
  }

  private draw(): void {
    this.drawActive();
    this.drawList();
  }

  private matching(): Indicator[] {
    const q = this.input.value.trim().toLowerCase();
    const score = (d: Indicator) => (d.name.startsWith(q) ? 0 : d.title.toLowerCase().includes(q) ? 1 : 2);
    return this.found
      .filter((d) => `${d.name} ${d.title} ${d.description}`.toLowerCase().includes(q))
      .sort((a, b) => score(a) - score(b) || a.name.localeCompare(b.name));
  }

  private drawList(): void {
    const found = this.matching();
    this.list.replaceChildren(...found.map((d) =>
      h("li", {},
        h("button", { class: "entry", "data-indicator": d.name, title: d.description, onclick: () => this.add(d) },
          h("b", {}, d.name.replaceAll("_", " ")), h("span", {}, d.title)))));
    if (this.error) this.list.replaceChildren(h("li", { class: "bad" }, this.error));
    else if (found.length === 0) this.list.replaceChildren(h("li", { class: "muted" }, this.found.length > 0 ? "No indicator says that." : "…"));
  }

  private add(d: Indicator): void {
    this.on.change({ indicators: [...this.on.view().indicators, { name: d.name, params: {} }] });
    this.editing = this.on.view().indicators.length - 1;
    this.drawActive();
    this.active.lastElementChild?.scrollIntoView({ block: "nearest" });
  }

  private drawActive(): void {
    const { indicators, marks } = this.on.view();
    const rows = indicators.map((shown, i) => {
      const def = this.found.find((d) => d.name === shown.name);
      const open = i === this.editing;
      const head = h("div", { class: "row" },
        h("button", { class: "entry", "aria-expanded": String(open), onclick: () => ((this.editing = open ? -1 : i), this.drawActive()) },
          h("b", {}, shown.name.replaceAll("_", " ")), h("span", {}, def?.title ?? "")),
        h("button", { class: "small", "aria-label": `Remove ${shown.name}`, onclick: () => this.remove(i) }, icon(icons.close)));
      return h("li", {}, head, open && def ? this.form(shown, def, i) : null);
    });
    const toggles = h("li", { class: "marks" }, ...markKinds.map((kind) =>
      h("label", {}, h("input", {
        type: "checkbox", checked: marks.includes(kind),
        onchange: (e: Event) => {
          const now = new Set(this.on.view().marks);
          if ((e.target as HTMLInputElement).checked) now.add(kind);
          else now.delete(kind);
          this.on.change({ marks: markKinds.filter((k) => now.has(k)) });
        },
      }), markTitles[kind])));
    this.active.replaceChildren(...rows, toggles);
  }

  private remove(i: number): void {
    this.on.change({ indicators: this.on.view().indicators.filter((_, j) => j !== i) });
    this.editing = -1;
    this.drawActive();
  }

  private form(shown: Shown, def: Indicator, index: number): HTMLElement {
    const change = (with_: Partial<Shown>) => {
      const now = this.on.view().indicators.map((s, i) => {
        if (i !== index) return s;
        const next: Shown = { ...s, ...with_ };
        if (next.series === undefined) delete next.series;
        if (next.place === undefined) delete next.place;
        return next;
      });
      this.on.change({ indicators: now });
    };
    const form = h("form", { class: "form", onsubmit: (e: Event) => e.preventDefault() }, h("p", { class: "muted" }, def.description));
    for (const p of def.parameters) form.append(this.field(p, shown, (value) => {
      const params = { ...this.on.view().indicators[index]!.params };
      if (value === null || value === String(p.default)) delete params[p.name];
      else params[p.name] = value;
      change({ params });
    }));
    if (def.series.length > 1) {
      const drawn = this.on.study(index);
      const names = shown.series ?? (drawn ? [...drawn.lines.keys()] : []);
      const boxes = def.series.map((s) => h("input", { type: "checkbox", value: s.name, checked: names.includes(s.name) }));
      form.append(h("fieldset", { onchange: () => change({ series: boxes.filter((b) => b.checked).map((b) => b.value) }) },
        h("legend", {}, "Series"),
        ...def.series.map((s, i) => h("label", { title: s.description ?? "" }, boxes[i]!, s.name.replaceAll("_", " ")))));
    }
    const option = (value: string, label: string) => h("option", { value, selected: (shown.place ?? "") === value }, label);
    form.append(h("label", { class: "field" }, h("span", {}, "Where"),
      h("select", { onchange: (e: Event) => change({ place: ((e.target as HTMLSelectElement).value || undefined) as Place }) },
        option("", "by its values"), option("overlay", "on the prices"), option("pane", "in a pane below"))));
    return form;
  }

  private field(p: Parameter, shown: Shown, change: (value: string | null) => void): HTMLElement {
    const value = shown.params[p.name] ?? (p.default === null || p.default === undefined ? "" : String(p.default));
    const hint = [p.description, p.min !== null && p.min !== undefined ? `${p.min} to ${p.max ?? "…"}` : ""].filter(Boolean).join(" ");
    const said = h("small", { class: "muted" }, hint);
    let input: HTMLInputElement;
    if (p.type === "boolean") {
      input = h("input", { type: "checkbox", checked: value === "true" || value === "t", onchange: () => change(String(input.checked)) });
    } else {
      const numeric = p.type === "integer" || p.type === "number";
      input = h("input", {
        type: numeric ? "number" : "text", name: p.name, value, required: true, autocomplete: "off",
        step: p.type === "integer" ? 1 : "any", min: p.min ?? undefined, max: p.max ?? undefined,
      });
      const tell = later(350, () => {
        // The browser knows the range and says what is wrong.
        text_(said, input.validity.valid ? hint : input.validationMessage, !input.validity.valid);
        if (input.validity.valid) change(input.value);
      });
      input.addEventListener("input", () => tell());
    }
    return h("label", { class: "field" }, h("span", {}, p.name.replaceAll("_", " ")), input, said);
  }
}

function text_(el: HTMLElement, value: string, bad: boolean): void {
  el.textContent = value;
  el.classList.toggle("bad", bad);
}
