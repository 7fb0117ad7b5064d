// The alert rules: on and off, how often each would have fired, new ones and changes.

import { aborted, alertRules, ApiError, message, send, type AlertRule } from "./api";
import { byId, h, text } from "./dom";
import { exact, span } from "./format";
import { parse, typical } from "./interval";
import { show } from "./list";

const every = 15_000;
const day = 86_400;
// The number of bars on which a rule is tested.
const mostBars = 4000;

const words: Record<string, string> = {
  above: "is above", below: "is below", crosses_above: "crosses above", crosses_below: "crosses below", outside: "is outside",
  changes: "changes by", rises: "rises by", falls: "falls by", fails: "fails",
};

// terms describes the condition of a rule.
export function terms(r: AlertRule): string {
  const series = (indicator: string | null, params: AlertRule["params"], name: string | null) => {
    if (indicator === null) return "";
    if (indicator === "sma" && params["period"] === 1) return "close";
    const plain = ["period", "fast", "slow", "signal", "deviations"];
    const given = Object.entries(params).map(([k, v]) => (plain.includes(k) ? v : `${k} ${v}`)).join(", ");
    return [indicator.replaceAll("_", " ") + (given ? ` (${given})` : ""), name === indicator ? "" : name?.replaceAll("_", " ")].filter(Boolean).join(" ");
  };
  const than = r.against_indicator !== null
    ? series(r.against_indicator, r.against_params, r.against_series)
    : r.threshold === null ? ""
    : r.condition === "outside" ? `${exact(r.threshold)} to ${exact(r.upper ?? 0)}`
    : ["changes", "rises", "falls"].includes(r.condition) ? `${exact(r.threshold)} % in ${r.bars} bar${r.bars > 1 ? "s" : ""}`
    : exact(r.threshold) + (r.bars > 1 ? ` for ${r.bars} bars` : "");
  const whom = r.symbols.includes("*") ? (r.condition === "fails" ? "any part" : "all symbols") : show(r.symbols.slice(0, 5)) + (r.symbols.length > 5 ? ", …" : "");
  return [[series(r.indicator, r.params, r.series), words[r.condition] ?? r.condition, than].filter(Boolean).join(" "), r.interval, whom, r.cooldown === "0s" ? "" : `at most every ${r.cooldown}`].filter(Boolean).join(" · ");
}

// testSpan is how many seconds back a rule is tested: a day, more where that is
// less than 24 bars (30 where a bar is a day or more), and less where it is more
// than the server takes.
export function testSpan(interval: string): number {
  const bar = typical(parse(interval));
  return Math.min(Math.max(bar < day ? 24 * bar : 30 * bar, day), mostBars * bar);
}

export class Rules {
  private readonly list = byId("rules-list");
  private readonly note = byId("rules-note");
  private rules: AlertRule[] = [];
  private asking = new AbortController();
  private timer = 0;
  private active = false;
  // The last message about a rule: the result of a test, or why it cannot change.
  private readonly outcomes = new Map<number, { said: string; bad: boolean }>();
  // The rule whose deletion waits for a second click.
  private doomed = -1;

  constructor(private readonly on: { edit: (r: AlertRule) => void }) {}

  show(active: boolean): void {
    if (active === this.active) return;
    this.active = active;
    void this.refresh();
  }

  async refresh(): Promise<void> {
    clearTimeout(this.timer);
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    if (!this.active) return;
    try {
      this.rules = (await alertRules(signal)).data;
      text(this.note, this.rules.length > 0 ? "" : "There are no rules.");
      this.note.classList.remove("bad");
      this.draw();
    } catch (err) {
      if (aborted(err)) return;
      text(this.note, message(err));
      this.note.classList.add("bad");
    }
    if (!signal.aborted) this.timer = window.setTimeout(() => void this.refresh(), every);
  }

  private draw(): void {
    // The list is recreated: the focus stays on its button.
    const held = document.activeElement instanceof HTMLElement && this.list.contains(document.activeElement) ? document.activeElement.dataset["hold"] : undefined;
    this.list.replaceChildren(...this.rules.map((r) => this.line(r)));
    if (held) this.list.querySelector<HTMLElement>(`[data-hold="${held}"]`)?.focus();
  }

  private line(r: AlertRule): HTMLElement {
    const outcome = this.outcomes.get(r.id);
    const broken = r.last_run?.error ?? null;
    const said = outcome?.said ?? (broken !== null ? `Cannot be evaluated: ${broken}` : "");
    return h("li", { "data-rule": r.name, class: r.enabled ? "" : "off" },
      h("input", {
        type: "checkbox", role: "switch", checked: r.enabled, "data-hold": `on-${r.id}`, "aria-label": `${r.name} is evaluated`,
        onchange: (e: Event) => void this.change(r, (e.target as HTMLInputElement).checked),
      }),
      h("span", { class: "name", title: r.description }, r.name, " ", h("span", { class: "severity", "data-severity": r.severity }, r.severity),
        r.firing > 0 ? h("span", { class: "muted" }, ` ${r.firing} firing`) : ""),
      h("span", { class: "do" },
        h("button", { "data-hold": `test-${r.id}`, disabled: r.interval === null, title: "How often it would have fired in the last day", "aria-label": `Test ${r.name}`, onclick: () => void this.test(r) }, "Test"),
        h("button", { "data-hold": `edit-${r.id}`, "aria-label": `Change ${r.name}`, onclick: () => this.on.edit(r) }, "Edit"),
        h("button", { "data-hold": `delete-${r.id}`, "aria-label": `Delete ${r.name}`, onclick: () => void this.remove(r) }, this.doomed === r.id ? "Really?" : "Delete")),
      h("p", { class: "terms" }, terms(r)),
      h("p", { class: `outcome${(outcome?.bad ?? broken !== null) ? " bad" : ""}`, role: "status" }, said));
  }

  private tell(r: AlertRule, said: string, bad = false): void {
    this.outcomes.set(r.id, { said, bad });
    this.draw();
  }

  private async change(r: AlertRule, enabled: boolean): Promise<void> {
    try {
      const changed = await send<AlertRule>("PATCH", `v1/alerts/rules/${r.id}`, { enabled }, r.version);
      this.rules = this.rules.map((o) => (o.id === r.id ? changed : o));
      this.outcomes.delete(r.id);
      this.draw();
    } catch (err) {
      this.tell(r, message(err), true);
      // Somebody else has changed it: the current rule is shown.
      if (err instanceof ApiError && (err.status === 412 || err.status === 404)) void this.refresh();
    }
  }

  private async remove(r: AlertRule): Promise<void> {
    if (this.doomed !== r.id) {
      this.doomed = r.id;
      this.draw();
      window.setTimeout(() => {
        if (this.doomed !== r.id) return;
        this.doomed = -1;
        this.draw();
      }, 4000);
      return;
    }
    this.doomed = -1;
    try {
      await send("DELETE", `v1/alerts/rules/${r.id}`, undefined, r.version);
      await this.refresh();
    } catch (err) {
      this.tell(r, message(err), true);
    }
  }

  // test asks how often the rule would have fired in the last day, or in as many
  // days as give bars enough to say.
  async test(r: AlertRule): Promise<void> {
    const back = testSpan(r.interval ?? "");
    const what = back === day ? "day" : back > day ? `${back / day} days` : span(back);
    this.tell(r, "…");
    try {
      const got = await send<{ count: number; symbols: number; data: { symbol: string }[] }>("POST", `v1/alerts/rules/${r.id}/test`, { from: new Date(Date.now() - back * 1000).toISOString() });
      const of = new Set(got.data.map((e) => e.symbol)).size;
      this.tell(r, got.count === 0 ? `Would not have fired in the last ${what} (${got.symbols} symbols).`
        : `Would have fired ${got.count} time${got.count > 1 ? "s" : ""} in the last ${what}, for ${of} of ${got.symbols} symbols.`);
    } catch (err) {
      this.tell(r, message(err), true);
    }
  }

  // added shows a rule that has just been written, with a test of it.
  async added(r: AlertRule): Promise<void> {
    this.outcomes.delete(r.id);
    await this.refresh();
    this.list.querySelector(`[data-rule="${CSS.escape(r.name)}"]`)?.scrollIntoView({ block: "nearest" });
    if (r.interval !== null) await this.test(r);
  }
}
