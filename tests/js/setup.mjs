// Gives the modules under test the constants that pages embed (tests/js/test_modules.py writes them).

import { readFileSync } from "node:fs";

const textContent = readFileSync(process.env.COLLAPSE_CONSTANTS, "utf8");
globalThis.document = { getElementById: (id) => (id === "page-constants" ? { textContent } : null) };
