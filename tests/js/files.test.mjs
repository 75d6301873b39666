// A server that has too much to do is asked again when it said so, and the page can give up.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";

import { fetchWithRetry, formatQueueWait } from "../../dashboard/assets/js/core/api.mjs";
import { fileNameOf } from "../../dashboard/assets/js/core/files.mjs";

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
