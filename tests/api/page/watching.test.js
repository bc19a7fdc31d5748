// What the page says of a batch and of each of its jobs.

import assert from "node:assert/strict";
import { batchPath, cellsOf, cursorOf, noJob, progressOf, rangeOf } from "../../../chalicelib/api/page_logic.js";

const { test } = Deno;
const ID = "a".repeat(32);
const NOW = Date.parse("2026-03-04T10:00:00Z");

const batch = (queued, running, succeeded, failed) => ({
  counts: { queued, running, succeeded, failed },
  total: queued + running + succeeded + failed,
  finished: queued + running === 0,
});

test("progress is told in words", () => {
  assert.equal(progressOf(batch(4, 0, 0, 0)).text, "0 of 4 finished");
  assert.equal(progressOf(batch(1, 1, 2, 0)).text, "2 of 4 finished: 2 succeeded");
  assert.equal(progressOf(batch(0, 1, 2, 1)).text, "3 of 4 finished: 2 succeeded, 1 failed");
  assert.equal(progressOf(batch(0, 0, 0, 1200)).text, "1,200 of 1,200 finished: 1,200 failed");
});

test("it is told how many wait for their host, where any does", () => {
  const waiting = (count, ...counts) => progressOf({ ...batch(...counts), waiting_for_host: count });
  assert.equal(waiting(1200, 1200, 0, 0, 0).text, "0 of 1,200 finished; 1,200 wait for their host");
  assert.equal(waiting(1, 2, 0, 1, 1).text, "2 of 4 finished: 1 succeeded, 1 failed; 1 waits for its host");
  assert.equal(waiting(12, 12, 0, 12, 0).heard, "12 of 24 finished: 12 succeeded; 12 wait for their host");
  assert.equal(waiting(0, 4, 0, 0, 0).text, "0 of 4 finished");
});

test("it is told how far its webhook is, where it has one", () => {
  const told = (status, tries = 0) => progressOf({ ...batch(0, 0, 2, 0), webhook: { status, tries } });
  assert.equal(told("waiting").text, "2 of 2 finished: 2 succeeded; its webhook is told at the end");
  assert.equal(told("pending").text, "2 of 2 finished: 2 succeeded; its webhook is being told");
  assert.equal(told("pending", 1).text, "2 of 2 finished: 2 succeeded; its webhook is being told (1 try so far)");
  assert.equal(told("delivered", 2).text, "2 of 2 finished: 2 succeeded; its webhook was told");
  assert.equal(told("failed", 8).text, "2 of 2 finished: 2 succeeded; its webhook could not be told");
  assert.equal(told("ended", 1).text, "2 of 2 finished: 2 succeeded; its webhook wants no more");
  assert.equal(told("newer").text, "2 of 2 finished: 2 succeeded; its webhook is newer");
  assert.equal(told("failed", 8).heard, "The batch is finished: 2 succeeded.");
});

test("the window's title counts as long as something runs", () => {
  assert.equal(progressOf(batch(1, 1, 2, 0)).title, "2/4 · Fetch Queue");
  assert.equal(progressOf(batch(0, 0, 3, 1)).title, "Fetch Queue");
});

test("who listens hears each quarter once, and the end", () => {
  const quarters = [0, 1, 24, 25, 49, 50, 75, 99].map((done) => progressOf(batch(100 - done, 0, done, 0)).quarter);
  assert.deepEqual(quarters, [0, 0, 0, 1, 1, 2, 3, 3]);
  assert.equal(progressOf(batch(75, 0, 25, 0)).heard, "25 of 100 finished: 25 succeeded");
  assert.equal(progressOf(batch(0, 0, 99, 1)).quarter, 5);
  assert.equal(progressOf(batch(0, 0, 99, 1)).heard, "The batch is finished: 99 succeeded, 1 failed.");
});

test("a batch whose jobs were all deleted is finished", () => {
  const { text, heard, quarter } = progressOf(batch(0, 0, 0, 0));
  assert.equal(text, "0 of 0 finished");
  assert.equal(heard, "The batch is finished: no job is left.");
  assert.equal(quarter, 5);
});

test("which jobs are shown is said, of all or of one status", () => {
  const shown = (count) => ({ ...batch(1100, 0, 30, 70), jobs: Array(count) });
  assert.equal(rangeOf(shown(100), 0, null), "Jobs 1 to 100 of 1,200");
  assert.equal(rangeOf(shown(100), 11, null), "Jobs 1,101 to 1,200 of 1,200");
  assert.equal(rangeOf(shown(70), 0, "failed"), "Jobs 1 to 70 of 70");
});

test("why no job is shown is said", () => {
  assert.equal(noJob("failed"), "No job is failed.");
  assert.equal(noJob(null), "Every job of this batch was deleted.");
});

test("a page and a status are asked for by the address", () => {
  assert.equal(batchPath(ID, 0, null), `/batches/${ID}`);
  assert.equal(batchPath(ID, 100, null), `/batches/${ID}?cursor=100`);
  assert.equal(batchPath(ID, 0, "failed"), `/batches/${ID}?status=failed`);
  assert.equal(batchPath(ID, 100, "failed"), `/batches/${ID}?cursor=100&status=failed`);
});

test("the next page begins where the link says", () => {
  assert.equal(cursorOf(`/api/batches/${ID}?cursor=200`, "https://example.com/api/"), 200);
  assert.equal(cursorOf(`https://example.com/batches/${ID}?status=failed&cursor=7`, "https://example.com/"), 7);
  assert.equal(cursorOf(null, "https://example.com/"), null);
});

// --- A row ---

const job = (more = {}) => ({
  id: `${ID}-41`,
  url: "https://example.com/page",
  status: "queued",
  reused: null,
  started_at: null,
  finished_at: null,
  next_attempt_at: null,
  result: null,
  error: null,
  ...more,
});

test("a row of a job that waits has its number and its URL", () => {
  assert.deepEqual(cellsOf(job()), {
    scheme: "https://",
    rest: "example.com/page",
    number: "42",
    size: "",
    time: "",
    reuse: "",
    reason: "",
    wait: "",
  });
});

/** What is said of a job that waits; English has a narrow space before AM and PM. */
const wait = (url, next_attempt_at) => cellsOf(job({ url, next_attempt_at }), NOW).wait.replaceAll("\u202f", " ");

test("a row of a job that waits for its host says for which, and until when", () => {
  assert.equal(
    wait("https://example.com/page", "2026-03-04T14:05:00.000Z"),
    "waits for example.com until 2:05:00 PM",
  );
  assert.equal(wait("https://example.com/", "2026-03-05T02:05:00.000Z"), "waits for example.com until Mar 5, 2:05 AM");
});

test("the host that is waited for has its port, unless that is its scheme's own", () => {
  const until = "2026-03-04T14:05:00.000Z";
  const hosts = {
    "http://example.com:8008/a:1/": "example.com:8008",
    "http://example.com:443/": "example.com:443",
    "https://EXAMPLE.com:443/": "example.com",
    "https://me:secret@example.com/": "example.com",
    "http://[::1]:8008/": "[::1]:8008",
    "what no browser takes": "what no browser takes",
  };
  for (const [url, host] of Object.entries(hosts)) {
    assert.ok(wait(url, until).startsWith(`waits for ${host} until `), url);
  }
});

test("a row of a job that succeeded has its size, its time and whose fetch it was", () => {
  const times = { started_at: "2026-03-04T10:00:00.000Z", finished_at: "2026-03-04T10:00:01.500Z" };
  const { size, time, reuse } = cellsOf(job({ ...times, reused: false, result: { size: 2048 } }));
  assert.deepEqual([size, time, reuse], ["2 KiB", "1.5 s", "new"]);
  assert.equal(cellsOf(job({ reused: true })).reuse, "reused");
  assert.equal(cellsOf(job({ started_at: times.started_at })).time, "", "one that runs has no time yet");
});

test("a row of a job that failed has the reason", () => {
  assert.equal(cellsOf(job({ error: { detail: "the site answered 404" } })).reason, "The site answered 404.");
});

test("of any URL every character is shown, once", () => {
  for (const url of ["http://a/", "HTTPS://A/", "a/b", "", "mailto:a", "https://a/\nb", "https://<img src=x>/?&amp;"]) {
    const { scheme, rest } = cellsOf(job({ url }));
    assert.equal(scheme + rest, url);
  }
  assert.equal(cellsOf(job({ url: "no scheme://x" })).scheme, "");
});
