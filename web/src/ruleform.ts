// The form of an alert rule, a new one or one that is changed. The server judges
// it; its errors are shown next to their fields.

import { ApiError, catalog, message, send, type AlertRule, type Indicator } from "./api";
import { byId, h, text } from "./dom";
import { choices, type IntervalPicker } from "./intervalpicker";
import { cut, show } from "./list";

const conditions: [string, string][] = [
  ["above", "is above"], ["below", "is below"], ["crosses_above", "crosses above"], ["crosses_below", "crosses below"], ["outside", "is outside of"],
  ["changes", "changes by (%)"], ["rises", "rises by (%)"], ["falls", "falls by (%)"],
];
const changing = ["changes", "rises", "falls"];
const crossing = ["crosses_above", "crosses_below"];
// Conditions that compare with a number or with another indicator.
const comparing = ["above", "below", ...crossing];

// A rule has up to two series, whose fields differ in their names by this.
type Side = "" | "against_";

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
  // The rule that is changed; undefined: it is a new one.
  private rule: AlertRule | undefined;

  constructor(
    private readonly intervals: IntervalPicker,
    private readonly on: {
      view: () => { symbol: string; interval: string };
      written: (r: AlertRule) => void;
      // The rule has been changed or deleted.
      stale: () => void;
    },
  ) {
    byId<HTMLFormElement>("rule-form").addEventListener("submit", (e) => {
      e.preventDefault();
      void this.submit();
    });
    this.dialog.addEventListener("click", (e) => e.target === this.dialog && this.dialog.close());
  }

  // open shows the form of a new rule, or of one as it is.
  async open(rule?: AlertRule): Promise<void> {
    this.rule = rule;
    const title = rule ? `Change ${rule.name}` : "New alert rule";
    text(byId("rule-title"), title);
    this.dialog.setAttribute("aria-label", title);
    text(byId("rule-write"), rule ? "Change it" : "Watch for it");
    text(this.note, rule && rule.firing > 0 ? "Its open events are resolved, and its evaluation restarts." : "");
    this.fields.clear();
    this.box.replaceChildren();
    this.dialog.showModal();
    try {
      this.found = (await catalog()).data;
    } catch (err) {
      text(this.note, message(err));
      return;
    }
    if (this.rule !== rule || !this.dialog.open) return;
    this.make();
    this.fields.get(rule ? "threshold" : "name")?.input.focus();
  }

  private make(): void {
    const { symbol, interval } = this.on.view();
    const r = this.rule;
    const first = this.found.some((d) => d.name === "rsi") ? "rsi" : (this.found[0]?.name ?? "");
    const number = (n: number | null | undefined) => (n === null || n === undefined ? "" : String(n));
    const names = this.found.map((d) => [d.name, d.title] as const);
    // A rule about the pipeline has no series.
    const fails = r?.condition === "fails";
    this.box.append(
      this.input("name", "Name", r?.name ?? "", "lower case letters, digits, dashes", { required: true, maxlength: 63 }),
      ...(fails ? [] : [
        this.choice("interval", "Interval", [], ""),
        this.choice("indicator", "Indicator", names, r?.indicator ?? first, "long"),
        h("div", { id: "rule-params" }),
        this.choice("condition", "Condition", conditions, r?.condition ?? "above"),
        this.choice("against_indicator", "Compared to", [["", "a number"], ...names], r?.against_indicator ?? "", "long"),
        h("div", { id: "rule-against_params" }),
        this.input("threshold", "Threshold", r ? number(r.threshold) : "70", "", { type: "number", step: "any" }),
        this.input("upper", "and", number(r?.upper), "upper bound", { type: "number", step: "any" }),
        this.input("bars", "Bars", number(r?.bars ?? 1), "", { type: "number", min: 1, max: 1000, step: 1 }),
      ]),
      this.input("symbols", fails ? "Parts" : "Symbols", show(r?.symbols ?? ["*"]), "separated by commas; * and ? stand for anything; \\* is a star", {}, "long"),
      this.input("cooldown", "Cooldown", r?.cooldown ?? "30m", "like 30m or 1h30m; 0 is none"),
      this.choice("severity", "Severity", [["info", "info"], ["warning", "warning"], ["critical", "critical"]], r?.severity ?? "warning"));
    if (fails) return;
    const symbols = this.fields.get("symbols")!.input as HTMLInputElement;
    if (symbol) symbols.placeholder = symbol;
    this.offer(r?.interval ?? interval);
    this.fields.get("indicator")!.input.addEventListener("change", () => this.params(""));
    for (const name of ["condition", "against_indicator"]) this.fields.get(name)!.input.addEventListener("change", () => this.fit());
    this.params("");
    this.fit();
  }

  // offer lists the intervals, with the one that is chosen, and a way to others.
  private offer(chosen: string): void {
    const { input } = this.fields.get("interval")!;
    input.replaceChildren(...choices(this.intervals.names, chosen).map((i) => h("option", { value: i, selected: i === chosen }, i)), h("option", { value: "" }, "other …"));
    input.onchange = () => {
      const to = input.value;
      this.offer(to || chosen);
      if (to === "") this.intervals.open(chosen, (i) => this.offer(i));
    };
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

  private indicator(side: Side): Indicator | undefined {
    return this.found.find((d) => d.name === this.value(`${side}indicator`));
  }

  // params makes the fields of the indicator that is chosen.
  private params(side: Side): void {
    const def = this.indicator(side);
    const box = byId(`rule-${side}params`);
    for (const name of this.fields.keys()) if (name === `${side}series` || name.startsWith(`${side}params.`)) this.fields.delete(name);
    box.replaceChildren();
    if (!def) return;
    // What the rule says, as long as it is about its own indicator.
    const r = this.rule?.[`${side}indicator`] === def.name ? this.rule : undefined;
    const main = def.series.find((s) => s.name === def.name)?.name ?? def.series[0]?.name ?? "";
    box.append(
      ...def.parameters.map((p) => {
        const given = r?.[`${side}params`][p.name] ?? p.default;
        const value = given === null || given === undefined ? "" : String(given);
        const hint = [p.description, p.min !== null && p.min !== undefined ? `${p.min} to ${p.max ?? "…"}` : ""].filter(Boolean).join(" ");
        const label = p.name[0]!.toUpperCase() + p.name.slice(1).replaceAll("_", " ");
        const name = `${side}params.${p.name}`;
        if (p.type === "boolean") return this.choice(name, label, [["true", "yes"], ["false", "no"]], value === "t" || value === "true" ? "true" : "false");
        const numeric = p.type === "integer" || p.type === "number";
        return this.input(name, label, value, hint, numeric ? { type: "number", step: p.type === "integer" ? 1 : "any" } : {});
      }),
      ...(def.series.length > 1 ? [this.choice(`${side}series`, "Series", def.series.map((s) => [s.name, s.name.replaceAll("_", " ")]), r?.[`${side}series`] ?? main)] : []));
  }

  // fit shows the fields that the condition has.
  private fit(): void {
    const c = this.value("condition");
    const against = this.fields.get("against_indicator")!;
    against.el.hidden = !comparing.includes(c);
    if (against.el.hidden) against.input.value = "";
    const two = against.input.value !== "";
    const box = byId("rule-against_params");
    if (box.dataset["of"] !== against.input.value) {
      box.dataset["of"] = against.input.value;
      this.params("against_");
    }
    this.fields.get("threshold")!.el.hidden = two;
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

  // tell shows the error of a field, or its hint.
  private tell(name: string, wrong: string): void {
    const f = this.fields.get(name);
    if (!f) return;
    text(f.said, wrong || f.hint);
    f.said.classList.toggle("bad", wrong !== "");
    f.said.classList.toggle("muted", wrong === "");
    if (wrong) f.input.setAttribute("aria-invalid", "true");
    else f.input.removeAttribute("aria-invalid");
  }

  // given are the parameters that are not the indicator's own, and those that
  // the rule names anyway: a rule that is written as it was has not changed.
  private given(side: Side): Record<string, unknown> {
    const params: Record<string, unknown> = {};
    const named = this.rule?.[`${side}indicator`] === this.value(`${side}indicator`) ? this.rule[`${side}params`] : {};
    for (const p of this.indicator(side)?.parameters ?? []) {
      const v = this.value(`${side}params.${p.name}`);
      if (v === "" || (v === String(p.default) && !(p.name in named))) continue;
      params[p.name] = p.type === "integer" || p.type === "number" ? Number(v) : p.type === "boolean" ? v === "true" : v;
    }
    return params;
  }

  private series(side: Side): string | null {
    return this.value(`${side}series`) || (this.indicator(side)?.series[0]?.name ?? null);
  }

  private body(): Record<string, unknown> {
    const number = (name: string) => (this.value(name) === "" || this.fields.get(name)!.el.hidden ? null : Number(this.value(name)));
    const common = {
      name: this.value("name"), symbols: cut(this.value("symbols")),
      cooldown: this.value("cooldown") || null, severity: this.value("severity"),
    };
    if (!this.fields.has("condition")) return common;
    return {
      ...common, interval: this.value("interval"), indicator: this.value("indicator"), params: this.given(""), series: this.series(""),
      condition: this.value("condition"), threshold: number("threshold"), upper: number("upper"), bars: number("bars"),
      ...(this.value("against_indicator") || this.rule
        ? { against_indicator: this.value("against_indicator") || null, against_params: this.given("against_"), against_series: this.series("against_") } : {}),
    };
  }

  private async submit(): Promise<void> {
    if (this.sending || this.fields.size === 0) return;
    this.sending = true;
    for (const name of this.fields.keys()) this.tell(name, "");
    text(this.note, "");
    try {
      const written = this.rule
        ? await send<AlertRule>("PATCH", `v1/alerts/rules/${this.rule.id}`, this.body(), this.rule.version)
        : await send<AlertRule>("POST", "v1/alerts/rules", this.body());
      this.dialog.close();
      this.on.written(written);
    } catch (err) {
      this.refused(err);
    } finally {
      this.sending = false;
    }
  }

  private refused(err: unknown): void {
    if (this.rule && err instanceof ApiError && (err.status === 412 || err.status === 404)) {
      text(this.note, message(err));
      this.on.stale();
      return;
    }
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
