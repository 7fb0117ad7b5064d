// Finding a symbol: a dialog with one field, results as you type.

import { aborted, message, symbols, type Symbol } from "./api";
import { byId, h, later } from "./dom";
import { exact } from "./format";

export class Search {
  private readonly dialog = byId<HTMLDialogElement>("search");
  private readonly input = byId<HTMLInputElement>("search-input");
  private readonly list = byId("search-list");
  private found: Symbol[] = [];
  private chosen = 0;
  private asking = new AbortController();

  constructor(private readonly pick: (symbol: string) => void) {
    this.input.addEventListener("input", () => this.ask());
    this.input.addEventListener("keydown", (e) => this.key(e));
    this.dialog.addEventListener("click", (e) => e.target === this.dialog && this.dialog.close());
  }

  open(start = ""): void {
    if (this.dialog.open) return;
    this.input.value = start;
    this.dialog.showModal();
    this.input.focus();
    void this.run(start);
  }

  private readonly ask = later(100, () => void this.run(this.input.value));

  private async run(text: string): Promise<void> {
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    const q = text.trim();
    try {
      const page = await symbols(q, 50, signal);
      this.found = page.data.sort((a, b) => fit(b.symbol, q) - fit(a.symbol, q) || (a.symbol < b.symbol ? -1 : 1));
      this.chosen = 0;
      this.draw(this.found.length === 0 ? `No symbol contains ${q || "that"}.` : "");
    } catch (err) {
      if (!aborted(err)) this.draw(message(err));
    }
  }

  private draw(note: string): void {
    this.list.replaceChildren(...this.found.map((s, i) =>
      h("li", { role: "option", id: `found-${i}`, "aria-selected": String(i === this.chosen), onclick: () => this.take(i) },
        h("b", {}, s.symbol), h("span", { class: "muted" }, s.venues.join(", ")),
        h("span", { class: "num" }, s.last_price === null ? "" : exact(s.last_price)))));
    if (note) this.list.replaceChildren(h("li", { class: "muted" }, note));
    this.input.setAttribute("aria-activedescendant", this.found.length > 0 ? `found-${this.chosen}` : "");
    this.list.children[this.chosen]?.scrollIntoView({ block: "nearest" });
  }

  private key(e: KeyboardEvent): void {
    if (e.key === "Enter") {
      e.preventDefault();
      this.take(this.chosen);
    } else if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      this.chosen = Math.min(Math.max(this.chosen + (e.key === "ArrowDown" ? 1 : -1), 0), this.found.length - 1);
      this.draw("");
    }
  }

  private take(i: number): void {
    const s = this.found[i];
    if (!s) return;
    this.dialog.close();
    this.pick(s.symbol);
  }
}

// fit is how well a symbol fits the text: case does not matter to find it, but
// aapl is another symbol than AAPL.
export function fit(symbol: string, text: string): number {
  if (symbol === text) return 3;
  const [a, b] = [symbol.toLowerCase(), text.toLowerCase()];
  return a === b ? 2 : Number(a.startsWith(b));
}
