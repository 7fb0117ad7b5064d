// The API as the page uses it.

export interface Page<T> {
  data: T[];
  next?: string;
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
}

export interface LiveCandle extends Candle {
  symbol: string;
  interval: string;
  state: "forming" | "closed" | "revised";
}

export interface Status {
  time: string;
  last_tick: string | null;
  last_tick_age: number | null;
  ticks_per_second: number;
  stale: boolean;
  jobs_failed: number;
  candles_behind: number | null;
}

// ApiError is a problem+json answer, or that there was none.
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
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

// onUnauthorized is told when the API wants a key that the page does not have.
let unauthorized: () => void = () => {};
export function onUnauthorized(run: () => void): void {
  unauthorized = run;
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(address(path, query), { headers: headers(), ...(signal ? { signal } : {}) });
  } catch (err) {
    if (signal?.aborted) throw err;
    throw new ApiError(0, "The server does not answer.");
  }
  if (!answer.ok) throw await failure(answer);
  return (await answer.json()) as T;
}

// failure reads what the server says went wrong.
export async function failure(answer: Response): Promise<ApiError> {
  if (answer.status === 401) unauthorized();
  let detail = `The server answered ${answer.status}.`;
  try {
    const problem = (await answer.json()) as { detail?: string; errors?: { message?: string; location?: string }[] };
    const errors = (problem.errors ?? []).map((e) => [e.location?.replace(/^query\./, ""), e.message].filter(Boolean).join(": "));
    detail = errors.length > 0 ? errors.join("; ") : (problem.detail ?? detail);
  } catch {
    // Not JSON: a proxy between us and the server.
  }
  return new ApiError(answer.status, detail);
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

export const catalog = (signal?: AbortSignal) => get<Page<Indicator>>("v1/indicators", {}, signal);

export const points = (symbol: string, name: string, query: Query, signal?: AbortSignal) =>
  get<Page<Point>>(`${symbolPath(symbol)}/indicators/${encodeURIComponent(name)}`, query, signal);
