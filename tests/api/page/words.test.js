// How the page writes numbers, sizes, lengths of time and times of day. The language is English and the zone UTC:
// test_page_logic.py sets both.

import assert from "node:assert/strict";
import { capital, duration, inAWhile, many, moment, sentence, size } from "../../../chalicelib/api/page_logic.js";

const { test } = Deno;
const NOW = Date.parse("2026-03-04T10:00:00Z");

/** English has a narrow space before AM and PM. */
const spaced = (text) => text.replaceAll("\u202f", " ");

function each(cases, work) {
  for (const [given, expected] of cases) assert.equal(work(given), expected, String(given));
}

test("one is singular, all others are plural", () => {
  each([[0, "0 jobs"], [1, "1 job"], [2, "2 jobs"], [12345, "12,345 jobs"]], (count) => many(count, "job"));
  assert.equal(many(2, "batch", "batches"), "2 batches");
});

test("what others said becomes a sentence", () => {
  each([
    ["it is too long", "It is too long."],
    ["Really?", "Really?"],
    ["stop!", "Stop!"],
    ["done.", "Done."],
    ["", "."],
  ], sentence);
  assert.equal(capital("queued"), "Queued");
});

test("a size has the unit that keeps it short", () => {
  each([
    [0, "0 B"],
    [1, "1 B"],
    [1023, "1,023 B"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [1600, "1.6 KiB"],
    [1024 ** 2 - 1, "1,024 KiB"],
    [1024 ** 2, "1 MiB"],
    [20 * 1024 ** 2, "20 MiB"],
    [1024 ** 3, "1 GiB"],
    [5000 * 1024 ** 3, "5,000 GiB"],
  ], size);
});

test("a duration is as exact as it is short", () => {
  each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1000, "1 s"],
    [1240, "1.2 s"],
    [9_940, "9.9 s"],
    [10_400, "10 s"],
    [60_000, "1 min 0 s"],
    [3_599_999, "59 min 59 s"],
    [3_600_000, "1 h 0 min"],
    [90 * 60_000, "1 h 30 min"],
    [25 * 3_600_000, "25 h 0 min"],
  ], duration);
});

test("a time of today has seconds, one of another day its date", () => {
  assert.equal(spaced(moment("2026-03-04T08:05:09Z", NOW)), "8:05:09 AM");
  assert.equal(spaced(moment("2026-03-03T23:05:09Z", NOW)), "Mar 3, 11:05 PM");
  assert.equal(spaced(moment("2025-03-04T08:05:09Z", NOW)), "Mar 4, 8:05 AM");
});

test("a long wait says until when", () => {
  assert.equal(inAWhile(1, NOW), "in 1 s");
  assert.equal(inAWhile(90, NOW), "in 90 s");
  assert.equal(spaced(inAWhile(91, NOW)), "in 1 min 31 s, at 10:01:31 AM");
  assert.equal(spaced(inAWhile(86_400, NOW)), "in 24 h 0 min, at Mar 5, 10:00 AM");
});
