// The scripts of the pages are loaded: every name that a module imports is exported by another one.

import assert from "node:assert/strict";
import test from "node:test";

for (const name of ["compare-page", "run-page", "runs-page", "shell"]) {
  test(`pages/${name}.mjs is loaded with all that it imports`, async () => {
    assert.ok(Object.keys(await import(`../../dashboard/assets/js/pages/${name}.mjs`)).length > 0);
  });
}
