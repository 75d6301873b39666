// The core: arrays, throttling, requests to a busy server; and whether the scripts of the pages are loaded at all.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";
import { fetchWithRetry, formatQueueWait } from "../../dashboard/assets/js/core/api.mjs";
import { arrayFromRows, decodeArray, project, toNumber } from "../../dashboard/assets/js/core/arrays.mjs";
import { Throttle } from "../../dashboard/assets/js/core/dom.mjs";
import { fileNameOf } from "../../dashboard/assets/js/core/files.mjs";

const encode = (values) => Buffer.from(Float32Array.from(values).buffer).toString("base64");

test("a typed array is read with its shape", () => {
  const found = decodeArray({ dtype: "f4", bdata: encode([1, 2, 3, 4, 5, 6]), shape: "2,3" });
  assert.deepEqual([...found.data], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual([found.rows, found.columns], [2, 3]);
  assert.equal(decodeArray({ dtype: "f4", bdata: encode([1, 2]), shape: "2" }).columns, 1);
});

test("a projection is a product of matrices", () => {
  const [x, y, z] = project(arrayFromRows([[1, 2], [3, 4]]), [[1, 0, 2], [0, 1, -1]]);
  assert.deepEqual([[...x], [...y], [...z]], [[1, 3], [2, 4], [0, 2]]);
});

test("numbers that JSON lacks are read", () => {
  assert.ok(Number.isNaN(toNumber("NaN")));
  assert.equal(toNumber("-Infinity"), -Infinity);
  assert.equal(toNumber(null), null);
  assert.equal(toNumber(0.5), 0.5);
});

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

const BUSY = JSON.stringify({ title: "Too many requests", status: 429, detail: "full", ahead: 3, retry_after_s: 1 });

async function serving(answers, work) {
  const asked = [];
  const server = createServer((request, response) => {
    const [status, headers, body] = answers[Math.min(asked.length, answers.length - 1)];
    asked.push(request.url);
    response.writeHead(status, headers).end(body);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  try {
    await work(`http://127.0.0.1:${server.address().port}/`, asked);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("what is refused is asked for again, with a line for each wait", async () => {
  const busy = [429, { "retry-after": "0.01", "content-type": "application/problem+json" }, BUSY];
  await serving([busy, busy, [200, {}, "there"]], async (url, asked) => {
    const lines = [];
    const response = await fetchWithRetry(url, {}, (line) => lines.push(line));
    assert.equal(await response.text(), "there");
    assert.equal(asked.length, 3);
    assert.deepEqual(lines, [formatQueueWait(3, 0.01), formatQueueWait(3, 0.01)]);
  });
});

test("a wait can be cancelled, and other refusals are final", async () => {
  await serving([[429, { "retry-after": "30" }, BUSY]], async (url, asked) => {
    const leaving = new AbortController();
    const waiting = fetchWithRetry(url, { signal: leaving.signal }, () => setTimeout(() => leaving.abort(), 1));
    await assert.rejects(waiting, { name: "AbortError" });
    assert.equal(asked.length, 1);
  });
  await serving([[429, { "retry-after": "60" }, JSON.stringify({ detail: "20 wrong tokens" })]], async (url, asked) => {
    assert.equal((await fetchWithRetry(url)).status, 429);
    assert.equal(asked.length, 1);
  });
});

test("lines and names", () => {
  assert.equal(formatQueueWait(1, 2), "Waiting for the server: 1 request ahead; asking again in 2 s");
  assert.equal(fileNameOf('attachment; filename="tiny-curves.pdf"', "x"), "tiny-curves.pdf");
  assert.equal(fileNameOf(null, "x"), "x");
});

for (const name of ["compare-page", "run-page", "runs-page", "shell"]) {
  test(`pages/${name}.mjs is loaded with all that it imports`, async () => {
    assert.ok(Object.keys(await import(`../../dashboard/assets/js/pages/${name}.mjs`)).length > 0);
  });
}
