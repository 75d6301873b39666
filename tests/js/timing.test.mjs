import assert from "node:assert/strict";
import test from "node:test";

import { Throttle } from "../../dashboard/assets/js/core/timing.mjs";

test("the first request is served at once, a burst once more at its end", async () => {
  let done = 0;
  const throttle = new Throttle(30, () => { done += 1; });
  for (let i = 0; i < 10; i += 1) throttle.request();
  assert.equal(done, 1);
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(done, 2);
});

test("a flush calls at once, and drops the pending call", async () => {
  let done = 0;
  const throttle = new Throttle(30, () => { done += 1; });
  throttle.request();
  throttle.request();
  throttle.flush();
  assert.equal(done, 2);
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(done, 2);
});

test("a cancelled call is not made", async () => {
  let done = 0;
  const throttle = new Throttle(20, () => { done += 1; });
  throttle.request();
  throttle.request();
  throttle.cancel();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(done, 1);
});
