// The colours of the style sheet, for what is drawn on canvas.

export interface Theme {
  background: string;
  text: string;
  muted: string;
  grid: string;
  line: string;
  up: string;
  down: string;
  upSoft: string;
  downSoft: string;
  warn: string;
  cross: string;
  accent: string;
  series: string[];
}

export function theme(): Theme {
  const css = getComputedStyle(document.documentElement);
  const v = (name: string) => css.getPropertyValue(`--${name}`).trim();
  return {
    background: v("bg"), text: v("text"), muted: v("muted"), grid: v("grid"), line: v("line"),
    up: v("up-fill"), down: v("down-fill"), upSoft: v("up-soft"), downSoft: v("down-soft"), warn: v("warn-fill"), cross: v("cross"), accent: v("accent"),
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((i) => v(`s${i}`)),
  };
}

export function onTheme(run: () => void): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", run);
}
