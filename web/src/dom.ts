// The little of a framework that the page needs.

type Props = Record<string, unknown>;
export type Child = Node | string | null | false | undefined;

// h makes an element. Functions become listeners (onclick), true and false set
// or leave out an attribute, everything else is an attribute.
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  set(el, props);
  add(el, children);
  return el;
}

const svgNS = "http://www.w3.org/2000/svg";

export function svg(tag: string, props: Props = {}, ...children: Child[]): SVGElement {
  const el = document.createElementNS(svgNS, tag);
  set(el, props);
  add(el, children);
  return el;
}

function set(el: Element, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") el.addEventListener(name.slice(2), value as EventListener);
    else if (value === true) el.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) el.setAttribute(name, String(value));
  }
}

function add(el: Element, children: Child[]): void {
  for (const c of children) if (c) el.append(c);
}

// text changes the text of an element only when it differs, so that nothing
// repaints for an update that says the same.
export function text(el: Element, value: string): void {
  if (el.textContent !== value) el.textContent = value;
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const el = document.getElementById(id);
  if (!el) throw new Error(`no element #${id}`);
  return el as T;
}

// icon draws a path of a 16 × 16 grid.
export function icon(path: string): SVGElement {
  return svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, svg("path", { d: path }));
}

export const icons = {
  close: "M4 4l8 8M12 4l-8 8",
  settings: "M2 5h7M13 5h1M2 11h1M7 11h7M9 3v4h3V3zM3 9v4h3V9z",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.5 10.5L14 14",
  wide: "M2 6V2h4M14 10v4h-4M2 2l5 5M14 14L9 9",
};

// frame collects calls and makes one per animation frame.
export function frame(run: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      run();
    });
  };
}

// later runs the newest call once ms have passed without another.
export function later<A extends unknown[]>(ms: number, run: (...args: A) => void): (...args: A) => void {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = window.setTimeout(run, ms, ...args);
  };
}
