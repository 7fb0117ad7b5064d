// Measures what the first view of the page transfers, and refuses a build that
// is too heavy: index.html with its scripts and styles, gzipped.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const limit = 250_000;
const dist = new URL("dist/", import.meta.url);
const seen = new Set();

function weigh(path) {
  if (seen.has(path)) return 0;
  seen.add(path);
  const text = readFileSync(new URL(path, dist));
  let bytes = gzipSync(text).length;
  const found = path.endsWith(".html")
    ? text.toString().matchAll(/<(?:script|link)\b[^>]*?(?:src|href)="\.\/([^"]+)"/g)
    : path.endsWith(".js")
      ? text.toString().matchAll(/\b(?:import|from)\s*"\.\/([^"]+\.js)"/g)
      : [];
  for (const [, next] of found) bytes += weigh(path.endsWith(".js") ? `assets/${next}` : next);
  return bytes;
}

const bytes = weigh("index.html");
console.log(`first view: ${(bytes / 1000).toFixed(1)} kB gzipped in ${seen.size} files (limit ${limit / 1000} kB)`);
if (seen.size < 3) throw new Error("found no scripts or styles in dist/index.html");
if (bytes > limit) process.exit(1);
