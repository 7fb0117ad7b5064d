// The form of a new alert rule. The server judges it; what it says stands next to
// the field that it is about.

import { ApiError, catalog, message, send, type AlertRule, type Indicator } from "./api";
import { byId, h, text } from "./dom";
import { intervals } from "./view";

const conditions: [string, string][] = [
  ["above", "is above"], ["below", "is below"], ["crosses_above", "crosses above"], ["crosses_below", "crosses below"], ["outside", "is outside of"],
  ["changes", "changes by (%)"], ["rises", "rises by (%)"], ["falls", "falls by (%)"],
];
const changing = ["changes", "rises", "falls"];
const crossing = ["crosses_above", "crosses_below"];

interface Field {
  el: HTMLElement;
  input: HTMLInputElement | HTMLSelectElement;
  hint: string;
  said: HTMLElement;
}

export class RuleForm {
  private readonly dialog = byId<HTMLDialogElement>("rule");
  private readonly box = byId("rule-fields");
  private readonly note = byId("rule-note");
  private readonly fields = new Map<string, Field>();
  private found: Indicator[] = [];
  private sending = false;

  constructor(
    private readonly on: {
      view: () => { symbol: string; interval: string };
      written: (r: AlertRule) => void;
    },
  ) {
    byId<HTMLFormElement>("rule-form").addEventListener("submit", (e) => {
      e.preventDefault();
      void this.submit();
    });
    this.dialog.addEventListener("click", (e) => e.target === this.dialog && this.dialog.close());
  }

  async open(): Promise<void> {
    text(this.note, "");
    this.fields.clear();
    this.box.replaceChildren();
    this.dialog.showModal();
    try {
      this.found = (await catalog()).data;
    } catch (err) {
      text(this.note, message(err));
      return;
    }
    this.make();
    this.fields.get("name")?.input.focus();
  }

  private make(): void {
    const { symbol, interval } = this.on.view();
    const first = this.found.some((d) => d.name === "rsi") ? "rsi" : (this.found[0]?.name ?? "");
    this.box.append(
      this.input("name", "Name", "", "lower case letters, digits, dashes", { required: true, maxlength: 63 }),
      this.choice("interval", "Interval", intervals.map((i) => [i, i]), interval),
      this.choice("indicator", "Indicator", this.found.map((d) => [d.name, d.title]), first, "long"),
      h("div", { id: "rule-params" }),
      this.choice("condition", "Condition", conditions, "above"),
      this.input("threshold", "Threshold", "70", "", { type: "number", step: "any" }),
      this.input("upper", "and", "", "upper bound", { type: "number", step: "any" }),
      this.input("bars", "Bars", "1", "", { type: "number", min: 1, max: 1000, step: 1 }),
      this.input("symbols", "Symbols", "*", "separated by commas; * and ? stand for anything", {}, "long"),
      this.input("cooldown", "Cooldown", "30m", "like 30m or 1h30m; 0 is none"),
      this.choice("severity", "Severity", [["info", "info"], ["warning", "warning"], ["critical", "critical"]], "warning"));
    const symbols = this.fields.get("symbols")!.input as HTMLInputElement;
    if (symbol) symbols.placeholder = symbol;
    this.fields.get("indicator")!.input.addEventListener("change", () => this.params());
    this.fields.get("condition")!.input.addEventListener("change", () => this.fit());
    this.params();
    this.fit();
  }

  private field(name: string, label: string, input: Field["input"], hint: string, kind = ""): HTMLElement {
    const id = `rule-${name.replaceAll(".", "-")}`;
    const said = h("small", { class: "muted", id: `${id}-said` }, hint);
    input.id = id;
    input.name = name;
    input.setAttribute("aria-describedby", said.id);
    const el = h("div", { class: `field ${kind}`, "data-field": name }, h("label", { for: id }, label), input, said);
    this.fields.set(name, { el, input, hint, said });
    input.addEventListener("input", () => this.tell(name, ""));
    return el;
  }

  private input(name: string, label: string, value: string, hint: string, props: Record<string, unknown> = {}, kind = ""): HTMLElement {
    return this.field(name, label, h("input", { type: "text", value, autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...props }), hint, kind);
  }

  private choice(name: string, label: string, options: readonly (readonly [string, string])[], value: string, kind = ""): HTMLElement {
    return this.field(name, label, h("select", {}, ...options.map(([v, says]) => h("option", { value: v, selected: v === value }, says))), "", kind);
  }

  private value(name: string): string {
    return this.fields.get(name)?.input.value.trim() ?? "";
  }

  private indicator(): Indicator | undefined {
    return this.found.find((d) => d.name === this.value("indicator"));
  }

  // params makes the fields of the indicator that is chosen.
  private params(): void {
    const def = this.indicator();
    for (const name of this.fields.keys()) if (name === "series" || name.startsWith("params.")) this.fields.delete(name);
    if (!def) return;
    const main = def.series.find((s) => s.name === def.name)?.name ?? def.series[0]?.name ?? "";
    byId("rule-params").replaceChildren(
      ...def.parameters.map((p) => {
        const value = p.default === null || p.default === undefined ? "" : String(p.default);
        const hint = [p.description, p.min !== null && p.min !== undefined ? `${p.min} to ${p.max ?? "…"}` : ""].filter(Boolean).join(" ");
        const label = p.name[0]!.toUpperCase() + p.name.slice(1).replaceAll("_", " ");
        if (p.type === "boolean") return this.choice(`params.${p.name}`, label, [["true", "yes"], ["false", "no"]], value === "t" || value === "true" ? "true" : "false");
        const numeric = p.type === "integer" || p.type === "number";
        return this.input(`params.${p.name}`, label, value, hint, numeric ? { type: "number", step: p.type === "integer" ? 1 : "any" } : {});
      }),
      ...(def.series.length > 1 ? [this.choice("series", "Series", def.series.map((s) => [s.name, s.name.replaceAll("_", " ")]), main)] : []));
  }

  // fit shows the fields that the condition has.
  private fit(): void {
    const c = this.value("condition");
    this.fields.get("upper")!.el.hidden = c !== "outside";
    this.fields.get("bars")!.el.hidden = crossing.includes(c);
    const hint = (name: string, says: string) => {
      const f = this.fields.get(name)!;
      f.hint = says;
      this.tell(name, "");
    };
    hint("threshold", changing.includes(c) ? "percent" : c === "outside" ? "lower bound" : "");
    hint("bars", changing.includes(c) ? "the change may take so many" : "in a row on which it must hold");
  }

  // tell shows what is wrong with a field, or else its hint.
  private tell(name: string, wrong: string): void {
    const f = this.fields.get(name);
    if (!f) return;
    text(f.said, wrong || f.hint);
    f.said.classList.toggle("bad", wrong !== "");
    f.said.classList.toggle("muted", wrong === "");
    if (wrong) f.input.setAttribute("aria-invalid", "true");
    else f.input.removeAttribute("aria-invalid");
  }

  private body(): Record<string, unknown> {
    const number = (name: string) => (this.value(name) === "" || this.fields.get(name)!.el.hidden ? null : Number(this.value(name)));
    const params: Record<string, unknown> = {};
    for (const p of this.indicator()?.parameters ?? []) {
      const v = this.value(`params.${p.name}`);
      if (v === "" || v === String(p.default)) continue;
      params[p.name] = p.type === "integer" || p.type === "number" ? Number(v) : p.type === "boolean" ? v === "true" : v;
    }
    return {
      name: this.value("name"), interval: this.value("interval"), indicator: this.value("indicator"), params, series: this.value("series") || null,
      condition: this.value("condition"), threshold: number("threshold"), upper: number("upper"), bars: number("bars"),
      symbols: this.value("symbols").split(",").map((s) => s.trim()).filter(Boolean),
      cooldown: this.value("cooldown") || null, severity: this.value("severity"),
    };
  }

  private async submit(): Promise<void> {
    if (this.sending || this.fields.size === 0) return;
    this.sending = true;
    for (const name of this.fields.keys()) this.tell(name, "");
    text(this.note, "");
    try {
      const written = await send<AlertRule>("POST", "v1/alerts/rules", this.body());
      this.dialog.close();
      this.on.written(written);
    } catch (err) {
      this.refused(err);
    } finally {
      this.sending = false;
    }
  }

  private refused(err: unknown): void {
    const rest: string[] = [];
    let first: Field | undefined;
    for (const fault of err instanceof ApiError ? err.faults : []) {
      const name = fault.location.replace(/\[\d+\]$/, "");
      const f = this.fields.get(name);
      if (f && !f.el.hidden) {
        this.tell(name, fault.message);
        first ??= f;
      } else rest.push([fault.location, fault.message].filter(Boolean).join(": "));
    }
    first?.input.focus();
    text(this.note, rest.length > 0 ? rest.join("; ") : first ? "" : message(err));
  }
}
