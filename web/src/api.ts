// The API as the page uses it.

export interface Page<T> {
  data: T[];
  next?: string;
}

// Listed is an interval that the server offers; others it takes too.
export interface Listed {
  interval: string;
  seconds: number;
  months: number;
  materialized: boolean;
}

export interface Symbol {
  symbol: string;
  venues: string[];
  last_price: number | null;
  last_ts: string;
}

export interface Candle {
  bucket: string;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  buy_volume: number | null;
  vwap: number | null;
  trades: number;
}

export interface Parameter {
  name: string;
  type: string;
  default?: string | number | boolean | null;
  min?: number | null;
  max?: number | null;
  description?: string | null;
}

export interface Indicator {
  name: string;
  title: string;
  description: string;
  parameters: Parameter[];
  series: { name: string; description?: string | null }[];
}

export interface Point {
  bucket: string;
  values: Record<string, number | null>;
}

export type ScreenerRow = { symbol: string; bucket: string; close: number } & Record<string, number | string | null>;

export interface Tick {
  symbol: string;
  ts: string;
  price: number;
  size: number;
  // What the trade does not move: 1 open, 2 high and low, 4 close, 8 volume.
  flags: number;
}

interface Of {
  symbol: string;
  interval: string;
}

export type LiveCandle =
  | (Of & Candle & { state: "forming" | "closed" | "revised" })
  // The bar is gone: its ticks were cancelled.
  | (Of & { bucket: string; state: "removed" });

export interface Status {
  time: string;
  last_tick: string | null;
  last_tick_age: number | null;
  ticks_per_second: number;
  stale: boolean;
  jobs_failed: number;
  candles_behind: number | null;
}

export type Severity = "info" | "warning" | "critical";

export interface AlertEvent {
  id: number;
  rule_id: number;
  rule: string;
  severity: Severity;
  symbol: string;
  interval: string | null;
  bar: string;
  opened: string;
  resolved: string | null;
  value: number | null;
  threshold: number | null;
  message: string;
  state: "firing" | "resolved" | "retracted";
  late: boolean;
  revision: number;
  changed: string;
  change_id: number;
}

export interface AlertRule {
  id: number;
  name: string;
  description: string;
  symbols: string[];
  interval: string | null;
  indicator: string | null;
  params: Record<string, number | string | boolean>;
  series: string | null;
  condition: string;
  threshold: number | null;
  upper: number | null;
  against_indicator: string | null;
  against_params: Record<string, number | string | boolean>;
  against_series: string | null;
  bars: number;
  cooldown: string;
  severity: Severity;
  enabled: boolean;
  version: number;
  firing: number;
  last_run?: { finished_at: string; took: string; symbols: number; error: string | null };
}

// An error of the server about one field.
export interface Fault {
  location: string;
  message: string;
}

// ApiError is a problem+json answer, or that there was none.
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly faults: Fault[] = [],
  ) {
    super(message);
  }
}

type Query = Record<string, string | number | string[] | undefined>;

const keyName = "hypertick-api-key";

export function apiKey(): string | null {
  return sessionStorage.getItem(keyName);
}

export function setApiKey(key: string): void {
  sessionStorage.setItem(keyName, key);
}

export function address(path: string, query: Query = {}): URL {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const v of value) url.searchParams.append(name, v);
    else if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  return url;
}

export function headers(): Record<string, string> {
  const key = apiKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// onUnauthorized is called when the API wants a key that the page does not have.
let unauthorized: () => void = () => {};
export function onUnauthorized(run: () => void): void {
  unauthorized = run;
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const answer = await ask(address(path, query), { headers: headers(), ...(signal ? { signal } : {}) });
  return (await answer.json()) as T;
}

// send writes; version is the one that the page has read.
export async function send<T>(method: "POST" | "PATCH" | "DELETE", path: string, body?: unknown, version?: number): Promise<T> {
  const answer = await ask(address(path), {
    method,
    headers: {
      ...headers(),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(version === undefined ? {} : { "If-Match": `"${version}"` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

async function ask(url: URL, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, init);
  } catch (err) {
    if (init.signal?.aborted) throw err;
    throw new ApiError(0, "The server does not answer.");
  }
  if (!answer.ok) throw await failure(answer);
  return answer;
}

// failure reads the error of an answer.
export async function failure(answer: Response): Promise<ApiError> {
  if (answer.status === 401) unauthorized();
  let detail = `The server answered ${answer.status}.`;
  let faults: Fault[] = [];
  try {
    const problem = (await answer.json()) as { detail?: string; errors?: { message?: string; location?: string }[] };
    faults = (problem.errors ?? []).map((e) => ({ location: e.location?.replace(/^(query|body)\./, "") ?? "", message: e.message ?? "" }));
    const errors = answer.status === 412 ? [] : faults.map((f) => [f.location, f.message].filter(Boolean).join(": "));
    detail = errors.length > 0 ? errors.join("; ") : (problem.detail ?? detail);
  } catch {
    // Not JSON: a proxy between us and the server.
  }
  return new ApiError(answer.status, detail, faults);
}

export function message(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}

export function aborted(err: unknown): boolean {
  return err instanceof DOMException && err.name === "AbortError";
}

const symbolPath = (symbol: string) => `v1/symbols/${encodeURIComponent(symbol)}`;

export const symbols = (q: string, limit: number, signal?: AbortSignal) => get<Page<Symbol>>("v1/symbols", { q, limit }, signal);

export const candles = (symbol: string, query: Query, signal?: AbortSignal) => get<Page<Candle>>(`${symbolPath(symbol)}/candles`, query, signal);

export const intervals = (signal?: AbortSignal) => get<Page<Listed>>("v1/intervals", {}, signal);

export const catalog = (signal?: AbortSignal) => get<Page<Indicator>>("v1/indicators", {}, signal);

export const points = (symbol: string, name: string, query: Query, signal?: AbortSignal) =>
  get<Page<Point>>(`${symbolPath(symbol)}/indicators/${encodeURIComponent(name)}`, query, signal);

export const alertEvents = (query: Query, signal?: AbortSignal) => get<Page<AlertEvent>>("v1/alerts/events", query, signal);

export const alertRules = (signal?: AbortSignal) => get<Page<AlertRule>>("v1/alerts/rules", {}, signal);
