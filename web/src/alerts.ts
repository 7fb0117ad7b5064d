// What alert rules found: those that fire first, then the newest of the others.

import { aborted, alertEvents, message, type AlertEvent, type Severity } from "./api";
import { byId, frame, h, later, text } from "./dom";
import { span } from "./format";

// The maximum number of firing events, and of others, to fetch.
const firing = 500;
const recent = 100;
// The maximum number of rows to draw.
const rows = 200;

const order: Severity[] = ["info", "warning", "critical"];
const newestFirst = (a: AlertEvent, b: AlertEvent) => Date.parse(b.bar) - Date.parse(a.bar) || b.id - a.id;

export class Alerts {
  private readonly list = byId<HTMLUListElement>("alerts-list");
  private readonly note = byId("alerts-note");
  private readonly said = byId("alerts-said");
  private readonly badge = byId("tab-firing");
  private readonly events = new Map<number, AlertEvent>();
  private readonly lines = new Map<number, { el: HTMLLIElement; key: string }>();
  private asking = new AbortController();
  private loaded = false;
  private more = false;
  private mine = false;
  private serious = false;
  private symbol = "";
  private active = false;

  constructor(
    private readonly on: {
      pick: (e: AlertEvent) => void;
      counted: (firing: number, tone: string) => void;
    },
  ) {
    const toggle = (id: string, flip: () => boolean) =>
      byId(id).addEventListener("click", () => {
        byId(id).setAttribute("aria-pressed", String(flip()));
        this.draw();
      });
    toggle("alerts-mine", () => (this.mine = !this.mine));
    toggle("alerts-serious", () => (this.serious = !this.serious));
    // Ages change with time.
    window.setInterval(() => this.draw(), 15_000);
  }

  show(symbol: string, active: boolean): void {
    Object.assign(this, { symbol, active });
    this.draw();
  }

  // refresh reads again what the stream may have missed.
  async refresh(): Promise<void> {
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    try {
      const [fire, last] = await Promise.all([alertEvents({ state: "firing", limit: firing }, signal), alertEvents({ limit: recent }, signal)]);
      if (signal.aborted) return;
      // The stream has sent newer changes; other events may be out of date.
      const newest = Math.max(0, ...fire.data.map((e) => e.change_id), ...last.data.map((e) => e.change_id));
      for (const e of this.events.values()) if (e.change_id <= newest) this.events.delete(e.id);
      for (const e of [...fire.data, ...last.data]) this.take(e);
      this.more = fire.next !== undefined;
      this.loaded = true;
      text(this.note, "");
      this.note.classList.remove("bad");
    } catch (err) {
      if (aborted(err)) return;
      text(this.note, message(err));
      this.note.classList.add("bad");
    }
    this.draw();
  }

  private take(e: AlertEvent): boolean {
    const known = this.events.get(e.id);
    if (known && known.change_id >= e.change_id) return false;
    this.events.set(e.id, e);
    return true;
  }

  // event takes a new or changed event.
  event(e: AlertEvent): void {
    if (!this.take(e)) return;
    if (e.state === "firing" && e.revision === 0) this.say(e.message);
    this.draw();
  }

  // say announces an event to screen readers; of many at once, the last.
  private readonly say = later(500, (what: string) => text(this.said, `Alert: ${what}`));

  private readonly draw = frame(() => {
    const all = [...this.events.values()].sort(newestFirst);
    const fire = all.filter((e) => e.state === "firing");
    const worst = Math.max(-1, ...fire.map((e) => order.indexOf(e.severity)));
    const tone = worst === 2 ? "bad" : worst === 1 ? "warn" : "";
    const count = fire.length + (this.more ? "+" : "");
    text(this.badge, count);
    this.badge.hidden = fire.length === 0;
    this.badge.dataset["tone"] = tone;
    byId("tab-alerts").setAttribute("aria-label", fire.length > 0 ? `Alerts, ${count} firing` : "Alerts");
    if (this.loaded) this.on.counted(fire.length, tone);
    // Events beyond the drawn rows are dropped.
    for (const e of all.filter((e) => e.state !== "firing").slice(rows)) this.events.delete(e.id);
    if (!this.active) return;

    const wanted = (e: AlertEvent) => (!this.mine || e.symbol === this.symbol) && (!this.serious || e.severity !== "info");
    const first = fire.filter(wanted).sort((a, b) => order.indexOf(b.severity) - order.indexOf(a.severity) || newestFirst(a, b));
    const rest = all.filter((e) => e.state !== "firing" && wanted(e));
    const drawn = [...first, ...rest].slice(0, rows);
    if (this.loaded && !this.note.classList.contains("bad")) text(this.note, drawn.length > 0 ? "" : "Nothing was found.");
    const els: HTMLLIElement[] = [];
    for (const [i, e] of drawn.entries()) {
      if (i === 0 && first.length > 0) els.push(this.section("Firing"));
      if (i === first.length) els.push(this.section("Before"));
      els.push(this.line(e));
    }
    for (const [id, line] of this.lines) {
      if (els.includes(line.el)) continue;
      line.el.remove();
      this.lines.delete(id);
    }
    // Rows in their place are not touched, so that focus stays.
    let at = this.list.firstElementChild;
    for (const el of els) {
      if (el === at) at = at.nextElementSibling;
      else this.list.insertBefore(el, at);
    }
    while (at) {
      const next: Element | null = at.nextElementSibling;
      at.remove();
      at = next;
    }
  });

  private readonly sections = new Map<string, HTMLLIElement>();
  private section(name: string): HTMLLIElement {
    let el = this.sections.get(name);
    if (!el) this.sections.set(name, (el = h("li", { class: "section" }, name)));
    return el;
  }

  private line(e: AlertEvent): HTMLLIElement {
    let line = this.lines.get(e.id);
    if (!line) {
      const button = h("button", { class: "event", onclick: () => this.on.pick(this.events.get(e.id) ?? e) });
      line = { el: h("li", { "data-event": e.id }, button), key: "" };
      this.lines.set(e.id, line);
    }
    const button = line.el.firstElementChild as HTMLButtonElement;
    const when = ago(e.bar);
    const key = `${e.change_id} ${when}`;
    if (line.key !== key) {
      line.key = key;
      line.el.dataset["state"] = e.state;
      button.disabled = e.interval === null;
      button.title = e.interval === null ? "" : `${e.symbol} ${e.interval}, bar of ${e.bar.slice(0, 16).replace("T", " ")} UTC: open the chart`;
      const head = `${e.symbol}${e.interval ? ` ${e.interval}` : ""}`;
      const body = e.message.startsWith(`${head}: `) ? e.message.slice(head.length + 2) : e.message;
      const retracted = e.state === "retracted";
      button.replaceChildren(
        h("span", { class: "severity", "data-severity": e.severity }, e.severity),
        h("span", { class: "what" }, h("b", {}, head), " ", h("i", {}, e.rule)),
        h("span", { class: "when" }, when),
        h("span", { class: "state" }, e.state),
        h("span", { class: "text" }, retracted ? h("s", {}, body) : body, retracted ? " the bar has changed" : e.revision > 0 ? " (revised: the bar has changed)" : ""));
    }
    if (e.symbol === this.symbol) line.el.setAttribute("aria-current", "true");
    else line.el.removeAttribute("aria-current");
    return line.el;
  }
}

function ago(bar: string): string {
  return `${span((Date.now() - Date.parse(bar)) / 1000)} ago`;
}
