import { defineConfig } from "vite";

// Where the API runs while `npm run dev` serves the page.
const api = process.env["HYPERTICK_API"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  // Relative addresses: the page also works under a path of a proxy.
  base: "./",
  build: {
    target: "es2022",
    // A content security policy without data: holds for everything of ours.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The API reference is one large library, and loads on its own page only.
    chunkSizeWarningLimit: 2000,
    rollupOptions: { input: ["index.html", "docs.html"] },
  },
  server: { host: "127.0.0.1", proxy: { "/v1": api, "/openapi.json": api, "/openapi.yaml": api } },
});
