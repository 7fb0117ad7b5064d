// The choice of an interval: the stored ones as buttons, all that the server lists
// in a dialog, and any other typed there.

import { intervals as fetchIntervals, type Listed } from "./api";
import { byId, h, text } from "./dom";
import { fault, parse, same, spell, typical, unit } from "./interval";

// The maximum number of buttons.
const most = 7;
const hint = "A number of s, m, h, d, w, mo or y. Weeks begin on Monday; times are UTC.";

// direct are the intervals with a button of their own: those whose bars are stored.
export function direct(listed: readonly Listed[]): string[] {
  return listed.filter((l) => l.materialized).slice(0, most).map((l) => l.interval);
}

// choices are the listed names with the chosen one, in order of length.
export function choices(names: readonly string[], chosen: string): string[] {
  const all = fault(chosen) || names.includes(chosen) ? [...names] : [...names, chosen];
  return all.sort((a, b) => typical(parse(a)) - typical(parse(b)));
}

// known is the listed name for the bars that a typed one means: 1h for 60m.
export function known(names: readonly string[], typed: string): string {
  return names.find((n) => same(n, typed)) ?? typed;
}

export class IntervalPicker {
  private readonly group = byId("intervals");
  private readonly dialog = byId<HTMLDialogElement>("interval");
  private readonly input = byId<HTMLInputElement>("interval-input");
  private readonly note = byId("interval-note");
  private readonly list = byId("interval-list");
  private readonly more = h("button", { id: "interval-more", "aria-haspopup": "dialog", onclick: () => this.open(this.chosen) });
  private listed: Listed[] = [];
  private buttons: HTMLButtonElement[] = [];
  private chosen = "";
  private take: (interval: string) => void;

  constructor(
    // Shown when the server does not list any.
    private readonly usual: string[],
    private readonly pick: (interval: string) => void,
    private readonly changed: () => void,
  ) {
    this.take = pick;
    this.input.addEventListener("input", () => this.tell(false));
    byId<HTMLFormElement>("interval-form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.submit();
    });
    this.dialog.addEventListener("click", (e) => e.target === this.dialog && this.dialog.close());
    this.list.addEventListener("keydown", (e) => this.move(e));
    this.input.addEventListener("keydown", (e) => {
      if (e.key !== "ArrowDown") return;
      e.preventDefault();
      (this.list.querySelector<HTMLElement>("[aria-pressed=true]") ?? this.list.querySelector("button"))?.focus();
    });
  }

  get names(): string[] {
    return this.listed.length > 0 ? this.listed.map((l) => l.interval) : this.usual;
  }

  // refresh reads the list: it changes when somebody adds an interval.
  async refresh(): Promise<void> {
    try {
      // Intervals that this page cannot parse are not offered.
      this.listed = (await fetchIntervals()).data.filter((l) => !fault(l.interval));
    } catch (err) {
      // The previous list stays; any interval can be typed.
      console.warn("intervals:", err);
    }
    const names = this.listed.length > 0 ? direct(this.listed) : this.usual;
    if (names.join() === this.buttons.map((b) => b.dataset["interval"]).join()) return;
    this.buttons = names.map((i) => h("button", { "data-interval": i, title: spell(i), onclick: () => this.pick(i) }, i));
    this.group.replaceChildren(...this.buttons, this.more);
    this.changed();
  }

  // draw marks the interval that the chart shows.
  draw(interval: string): void {
    this.chosen = interval;
    const among = this.buttons.some((b) => same(b.dataset["interval"]!, interval));
    for (const b of this.buttons) b.setAttribute("aria-pressed", String(same(b.dataset["interval"]!, interval)));
    text(this.more, among ? "▾" : `${interval} ▾`);
    this.more.setAttribute("aria-pressed", String(!among));
    this.more.setAttribute("aria-label", among ? "Other intervals" : `${spell(interval)}; other intervals`);
    this.more.title = "Any interval ( t )";
  }

  // nth picks the interval of a button.
  nth(n: number): void {
    this.buttons[n - 1]?.click();
  }

  // open asks for an interval; take has the answer, if there is one.
  open(chosen: string, take = this.pick): void {
    this.take = take;
    const rows = new Map<string, HTMLElement>();
    for (const name of this.names) {
      const word = unit(name);
      let row = rows.get(word);
      if (!row) rows.set(word, (row = h("div", { role: "group", "aria-labelledby": `interval-${word}` })));
      row.append(h("button", { type: "button", "data-choice": name, title: spell(name), "aria-pressed": String(same(name, chosen)), onclick: () => this.done(name) }, name));
    }
    this.list.replaceChildren(...[...rows].flatMap(([word, row]) => [h("i", { id: `interval-${word}` }, `${word}s`), row]));
    this.input.value = this.names.some((n) => same(n, chosen)) ? "" : chosen;
    this.tell(false);
    this.dialog.showModal();
    this.input.focus();
    this.input.select();
  }

  private done(interval: string): void {
    this.dialog.close();
    this.take(interval);
  }

  private submit(): void {
    const typed = this.input.value.trim();
    if (fault(typed)) this.tell(true);
    else this.done(known(this.names, typed));
  }

  // tell describes the typed interval; while it is being typed, nothing is wrong yet.
  private tell(sent: boolean): void {
    const typed = this.input.value.trim();
    const wrong = fault(typed);
    text(this.note, !wrong ? `Bars of ${spell(typed)}` : sent ? wrong : hint);
    this.note.classList.toggle("bad", sent && wrong !== "");
    if (sent && wrong) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
  }

  // move goes through the listed ones with the arrows: along a row, and to the next.
  private move(e: KeyboardEvent): void {
    const at = e.target as HTMLElement;
    const buttons = [...this.list.querySelectorAll<HTMLElement>("button")];
    const rows = [...this.list.querySelectorAll("div")].map((row) => [...row.children] as HTMLElement[]);
    const i = buttons.indexOf(at);
    const r = rows.findIndex((row) => row.includes(at));
    const beside = (row: HTMLElement[] | undefined) => row?.[Math.min(rows[r]!.indexOf(at), row.length - 1)];
    const to = { ArrowRight: buttons[i + 1], ArrowLeft: buttons[i - 1], ArrowDown: beside(rows[r + 1]), ArrowUp: beside(rows[r - 1]) ?? this.input }[e.key];
    if (!to) return;
    e.preventDefault();
    to.focus();
  }
}
