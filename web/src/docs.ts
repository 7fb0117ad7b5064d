// The API reference, from the API's own description.

import "swagger-ui-dist/swagger-ui.css";
import "./docs.css";

import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();

SwaggerUI({
  dom_id: "#docs",
  url: new URL("openapi.json", document.baseURI).href,
  deepLinking: true,
  // Nothing leaves for a foreign validator.
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  defaultModelExpandDepth: 3,
  displayRequestDuration: true,
  persistAuthorization: true,
});
