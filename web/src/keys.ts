// Keyboard shortcuts, and the overlay that lists them.

import { byId, h } from "./dom";

export interface Key {
  keys: string[];
  // How they are listed, where it is not one by one.
  shown?: string[];
  label: string;
  run: (key: string) => void;
}

export function bindKeys(keys: Key[]): void {
  const help = byId<HTMLDialogElement>("help");
  const list = byId("help-keys");
  list.replaceChildren(...keys.flatMap((k) => [h("dt", {}, ...(k.shown ?? k.keys).map((name) => h("kbd", {}, shown[name] ?? name))), h("dd", {}, k.label)]));
  help.addEventListener("click", (e) => e.target === help && help.close());
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || (e.target instanceof Element && e.target.matches("input, select, textarea"))) return;
    const key = keys.find((k) => k.keys.includes(e.key));
    if (!key) return;
    e.preventDefault();
    key.run(e.key);
  });
}

const shown: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", "+": "+", "-": "−" };
