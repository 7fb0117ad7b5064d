// Lists of symbols as text, separated by commas. A backslash takes the meaning
// off the character after it: A\,B is one symbol, and \* the symbol *.

// join is for symbols, as the server reads them in a query.
export const join = (symbols: readonly string[]): string => symbols.map((s) => s.replace(/[\\,*]/g, "\\$&")).join(",");

// cut is for patterns, which keep their backslashes.
export const cut = (list: string): string[] => (list.match(/(?:\\.|[^,\\]|\\$)+/gsu) ?? []).map((s) => s.trim()).filter(Boolean);

// show is the inverse of cut.
export const show = (patterns: readonly string[]): string => patterns.map((p) => p.replace(/\\.|,/gsu, (m) => (m === "," ? "\\," : m))).join(", ");
