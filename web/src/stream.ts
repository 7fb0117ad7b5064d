// Live data: server-sent events over fetch, which, unlike EventSource, can send
// an API key and reports when it reconnects.

import { address, failure, headers, message } from "./api";
import { join } from "./list";

export interface Event {
  id: string;
  name: string;
  data: string;
}

// Parser cuts a text that arrives in pieces into events, as the HTML standard
// defines them.
export class Parser {
  private rest = "";
  private id = "";
  private name = "";
  private data: string[] = [];
  retry: number | null = null;

  push(piece: string): Event[] {
    const out: Event[] = [];
    this.rest += piece;
    for (;;) {
      const m = /\r\n|\n|\r/.exec(this.rest);
      // A lone CR at the end may be half of a CRLF.
      if (!m || (m[0] === "\r" && m.index === this.rest.length - 1)) return out;
      const line = this.rest.slice(0, m.index);
      this.rest = this.rest.slice(m.index + m[0].length);
      if (line === "") {
        if (this.data.length > 0) out.push({ id: this.id, name: this.name || "message", data: this.data.join("\n") });
        this.name = "";
        this.data = [];
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") this.data.push(value);
      else if (field === "event") this.name = value;
      else if (field === "id" && !value.includes("\0")) this.id = value;
      else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    }
  }
}

export type Link = { state: "connecting" } | { state: "live" } | { state: "waiting"; until: number; why: string } | { state: "paused" };

// quiet is the timeout without an event: status events come every 5 s.
const quiet = 20_000;

export class Stream {
  private query = "";
  private last = "";
  private run: AbortController | null = null;
  private wake: (() => void) | null = null;

  constructor(
    private readonly on: {
      event: (name: string, data: unknown) => void;
      link: (link: Link) => void;
      // Connected, and what was missed since may have to be fetched; again where
      // the connection was lost.
      opened: (again: boolean) => void;
    },
  ) {
    window.addEventListener("online", () => this.wake?.());
  }

  // open follows these symbols, in place of what it followed before.
  open(symbols: string[], interval: string): void {
    const query = JSON.stringify([symbols, interval]);
    if (this.run && query === this.query) return;
    this.run?.abort();
    this.query = query;
    this.last = "";
    this.run = new AbortController();
    void this.loop(symbols, interval, this.run.signal);
  }

  close(): void {
    this.run?.abort();
    this.run = null;
    this.on.link({ state: "paused" });
  }

  private async loop(symbols: string[], interval: string, stop: AbortSignal): Promise<void> {
    let wait = 500;
    let again = false;
    while (!stop.aborted) {
      this.on.link({ state: "connecting" });
      let why = "The stream ended.";
      try {
        await this.read(symbols, interval, stop, () => {
          this.on.opened(again);
          again = true;
        }, () => (wait = 500));
      } catch (err) {
        why = err instanceof TypeError ? "The server does not answer." : message(err);
      }
      if (stop.aborted) return;
      // Spread out, so that a thousand pages do not return in one moment.
      const ms = wait * (0.75 + Math.random() / 2);
      this.on.link({ state: "waiting", until: Date.now() + ms, why });
      await new Promise<void>((done) => {
        const timer = setTimeout(done, ms);
        const now = () => (clearTimeout(timer), done());
        this.wake = now;
        stop.addEventListener("abort", now, { once: true });
      });
      this.wake = null;
      wait = Math.min(wait * 2, 15_000);
    }
  }

  private async read(symbols: string[], interval: string, stop: AbortSignal, opened: () => void, good: () => void): Promise<void> {
    const cut = new AbortController();
    const end = () => cut.abort();
    stop.addEventListener("abort", end);
    let dog = 0;
    const pat = () => {
      clearTimeout(dog);
      dog = window.setTimeout(() => cut.abort(new Error("The stream fell silent.")), quiet);
    };
    try {
      pat();
      const answer = await fetch(address("v1/stream", { symbols: join(symbols), interval, alerts: "all" }), {
        headers: { ...headers(), Accept: "text/event-stream", ...(this.last ? { "Last-Event-ID": this.last } : {}) },
        cache: "no-store",
        signal: cut.signal,
      });
      if (!answer.ok || !answer.body) throw await failure(answer);
      this.on.link({ state: "live" });
      opened();
      const parser = new Parser();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        pat();
        for (const e of parser.push(value)) {
          good();
          if (e.id) this.last = e.id;
          this.on.event(e.name, JSON.parse(e.data));
        }
      }
    } finally {
      clearTimeout(dog);
      stop.removeEventListener("abort", end);
    }
  }
}
