// The status bar at the bottom: whether the page is live.

import type { Status, Tick } from "./api";
import { byId, text } from "./dom";
import { fixed, significant, span } from "./format";
import type { Link } from "./stream";

export class StatusStrip {
  private link: Link = { state: "connecting" };
  private status: Status | null = null;
  private received = 0;
  // How far the server's clock is ahead of ours, in ms.
  private skew = 0;
  private ahead = -Infinity;
  private heard = 0;
  private lags: number[] = [];
  private newest = 0;
  private readonly alarm = byId("alarm");

  constructor() {
    window.setInterval(() => this.draw(), 500);
    this.draw();
  }

  onLink(link: Link): void {
    this.link = link;
    this.draw();
  }

  onStatus(s: Status): void {
    this.status = s;
    this.received = Date.now();
    // The message that was on its way for the shortest time tells most of the
    // clocks; a difference that the way alone may explain is none.
    this.ahead = Math.max(this.ahead, Date.parse(s.time) - this.received);
    // The first may have waited for us.
    this.heard++;
    this.skew = this.ahead >= 1000 || (this.ahead <= -1000 && this.heard > 2) ? this.ahead : 0;
    if (s.last_tick) this.newest = Math.max(this.newest, Date.parse(s.last_tick));
    this.draw();
  }

  onTick(t: Tick): void {
    const ts = Date.parse(t.ts);
    this.newest = Math.max(this.newest, ts);
    this.lags.push(Date.now() + this.skew - ts);
    if (this.lags.length > 200) this.lags.splice(0, 100);
  }

  private draw(): void {
    const { link, status: s } = this;
    const now = Date.now();
    const dot = byId("link");
    dot.dataset["state"] = link.state;
    text(dot, link.state === "live" ? "live"
      : link.state === "waiting" ? `reconnecting in ${Math.max(0, Math.ceil((link.until - now) / 1000))} s`
      : link.state === "paused" ? "paused" : "connecting");
    dot.title = link.state === "waiting" ? link.why : "";

    const age = this.newest > 0 ? (now + this.skew - this.newest) / 1000 : null;
    // Without an answer of the server, silence counts as stale.
    const stale = s !== null && (s.stale || (link.state !== "live" && link.state !== "paused" && now - this.received > 15_000));
    this.field("rate", s ? significant(s.ticks_per_second, 3) : "–", "");
    const lag = this.lags.length > 0 && !stale ? [...this.lags].sort((a, b) => a - b)[this.lags.length >> 1]! / 1000 : null;
    this.field("lag", lag === null ? "–" : lag < 10 ? `${fixed(Math.max(0, lag) * 1000, 0)} ms` : span(lag), lag !== null && lag > 30 ? "warn" : "");
    this.field("age", age === null ? "–" : span(age), stale ? "bad" : "");
    this.field("behind", s?.candles_behind === null || s === null ? "–" : span(s.candles_behind), "");
    this.field("jobs", s === null ? "–" : s.jobs_failed === 0 ? "ok" : `${s.jobs_failed} failed`, s && s.jobs_failed > 0 ? "bad" : "");
    text(byId("utc"), new Date(now + this.skew).toISOString().slice(11, 19));

    const say = stale
      ? `Data is stale: ${age === null ? "no tick yet" : `the last tick came ${span(age)} ago`}`
      : link.state === "waiting" ? `Disconnected. ${link.why} Reconnecting.` : "";
    text(this.alarm, say);
    this.alarm.hidden = say === "";
    document.body.classList.toggle("stale", stale);
  }

  // alerts shows how many fire, and the highest severity.
  alerts(firing: number, tone: string): void {
    this.field("alerts", firing > 0 ? `${firing} firing` : "none", tone);
  }

  private field(id: string, value: string, tone: string): void {
    const el = byId(`st-${id}`);
    text(el, value);
    if (el.dataset["tone"] !== tone) el.dataset["tone"] = tone;
  }
}
