import assert from "node:assert/strict";
import test from "node:test";

import { Calm } from "../../dashboard/assets/js/core/throttle.mjs";

test("the first wish is fulfilled at once, a burst once more at its end", async () => {
  let done = 0;
  const calm = new Calm(30, () => { done += 1; });
  for (let i = 0; i < 10; i += 1) calm.draw();
  assert.equal(done, 1);
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(done, 2);
});

test("what is asked for now is done now, and once", async () => {
  let done = 0;
  const calm = new Calm(30, () => { done += 1; });
  calm.draw();
  calm.draw();
  calm.run();
  assert.equal(done, 2);
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(done, 2);
});

test("a closed one stays quiet", async () => {
  let done = 0;
  const calm = new Calm(20, () => { done += 1; });
  calm.draw();
  calm.draw();
  calm.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(done, 1);
});
