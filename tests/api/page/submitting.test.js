// From the text in the field to what is sent, and what is said of it.

import assert from "node:assert/strict";
import {
  asSubmitted,
  countOf,
  cut,
  fileTrouble,
  inShort,
  isRepeatable,
  lines,
  linksOf,
  listPath,
  optionsOf,
  refused,
  rejectedBy,
  sending,
  submitted,
  withBatches,
  withLines,
} from "../../../chalicelib/api/page_logic.js";

const { test } = Deno;

const urls = (count) => Array.from({ length: count }, (_, at) => `https://example.com/${at}`);
const bytesOf = (part) => new TextEncoder().encode(JSON.stringify({ urls: part.urls })).length;

test("each line that is not blank is a URL, wherever the text comes from", () => {
  assert.deepEqual(lines("a\nb\r\nc\rd"), ["a", "b", "c", "d"]);
  assert.deepEqual(lines("  https://example.com/a b \n\n\t\n  x"), ["https://example.com/a b", "x"]);
  assert.deepEqual(lines("a\na"), ["a", "a"], "the service says what is the same");
  assert.deepEqual(lines(" \n "), []);
});

test("the count says how many there are, and how many batches they take", () => {
  assert.equal(countOf(""), "No URL yet");
  assert.equal(countOf(" \n\n"), "No URL yet");
  assert.equal(countOf("https://example.com/\n"), "1 URL");
  assert.equal(countOf(urls(1000).join("\n")), "1,000 URLs");
  assert.equal(countOf(urls(1001).join("\n")), "1,001 URLs, 2 batches");
});

test("parts hold what the service takes, and nothing is lost or moved", () => {
  assert.deepEqual(cut([]), []);
  for (const [count, sizes] of [[1, [1]], [1000, [1000]], [2001, [1000, 1000, 1]]]) {
    const parts = cut(urls(count));
    assert.deepEqual(parts.map((part) => part.urls.length), sizes);
    assert.deepEqual(parts.flatMap((part) => part.urls), urls(count));
    assert.equal(new Set(parts.map((part) => part.key)).size, parts.length, "each has a key of its own");
  }
});

test("a part stays under a megabyte, counted as it is sent", () => {
  for (const letter of ["a", "\u00e9", '"', "\u{1f600}"]) {
    const long = Array.from({ length: 900 }, () => `https://example.com/${letter.repeat(2000)}`);
    const parts = cut(long);
    assert.deepEqual(parts.flatMap((part) => part.urls), long);
    assert.ok(parts.length > 1);
    for (const part of parts) assert.ok(bytesOf(part) < 1024 * 1024, `${bytesOf(part)} bytes`);
    for (const part of parts.slice(0, -1)) assert.ok(bytesOf(part) > 900_000, "and is not smaller than it must be");
  }
});

test("one URL that is larger than a part is sent by itself", () => {
  const huge = `https://example.com/${"a".repeat(2_000_000)}`;
  assert.deepEqual(cut(["a", huge, "b"]).map((part) => part.urls), [["a"], [huge], ["b"]]);
});

test("what is sent, and what became of it, is said", () => {
  assert.equal(sending(urls(1), 1, 1), "Sending 1 URL …");
  assert.equal(sending(urls(20), 1, 1), "Sending 20 URLs …");
  assert.equal(sending(urls(1500), 2, 1), "Sending part 2 of 2 …");
  assert.equal(sending(urls(2500), 3, 3), "Sending part 1 of 3 …");
  assert.equal(sending(urls(2500), 3, 1), "Sending part 3 of 3 …");
  assert.equal(submitted(urls(2500), [{}, {}], 3), "2,498 URLs went into 3 batches.");
});

test("lines are added below those that are there", () => {
  assert.equal(withLines("", "a\r\n\r\nb"), "a\nb\n");
  assert.equal(withLines("x\n\n", " a "), "x\na\n");
  assert.equal(withLines("x", "a\nb"), "x\na\nb\n");
});

test("links that are dropped come without their comments", () => {
  assert.deepEqual(lines(linksOf("# a title\r\nhttps://example.com/#part\r\n#\r\nhttps://example.org/")), [
    "https://example.com/#part",
    "https://example.org/",
  ]);
});

test("a file is taken unless it is too large or not text", () => {
  const limit = 20 * 1024 * 1024;
  assert.equal(fileTrouble({ name: "list.txt", size: limit }), "");
  assert.equal(fileTrouble({ name: "list.txt", size: limit + 1 }), "list.txt is larger than 20 MiB.");
  assert.equal(fileTrouble({ name: "list.txt", size: 3 }, "a\nb"), "");
  assert.equal(fileTrouble({ name: "photo.png", size: 3 }, "a\0b"), "photo.png is not a text file.");
});

test("what was not accepted is shown by its URL, with the reason", () => {
  const errors = [
    { pointer: "/urls/1", detail: "the scheme is not http or https" },
    { pointer: "/urls/7", detail: "of a URL that was not sent" },
    { pointer: "/urls", detail: "of all" },
    { pointer: "/urls/1/x", detail: "of a part of one" },
    { detail: "of nothing" },
  ];
  const problem = refused(422, JSON.stringify({ errors }), null);
  assert.deepEqual(rejectedBy(problem, ["https://example.com/", "ftp://example.com/"]), [
    { url: "ftp://example.com/", detail: "the scheme is not http or https" },
  ]);
  assert.deepEqual(rejectedBy(new TypeError("no problem of the API's"), ["a"]), []);
});

// --- The list of batches ---

const batch = (letter, submitted_at, submitted = 3) => ({
  id: letter.repeat(32),
  submitted_at,
  expires_at: "2026-03-11T10:00:00Z",
  submitted,
});

test("the newest batch is the first, and each is there once", () => {
  const [old, middle, recent] = ["01", "02", "03"].map((day, at) => batch("abc"[at], `2026-03-${day}T00:00:00Z`));
  assert.deepEqual(withBatches([recent, old], [middle]), [recent, middle, old]);
  assert.deepEqual(withBatches([recent, middle, old], [middle]), [recent, middle, old]);
  const twin = { ...old, id: "b".repeat(32) };
  assert.deepEqual(withBatches([old], [twin]), [twin, old]);
  assert.deepEqual(withBatches([twin], [old]), [twin, old]);
});

test("of a batch that is shown the list has what it needs, and how many jobs there were at first", () => {
  const [listed] = [batch("a", "2026-03-04T09:00:00Z")];
  const shown = { ...listed, submitted: undefined, total: 2, jobs: [{ url: "https://example.com/secret" }] };
  assert.deepEqual(withBatches([], [shown]), [batch("a", "2026-03-04T09:00:00Z", 2)]);
  assert.deepEqual(withBatches([listed], [shown]), [listed]);
});

test("a list goes on where the API says, under its prefix", () => {
  const here = "https://example.com/api/#x";
  for (const prefix of ["", "/api"]) {
    assert.equal(listPath(`${prefix}/batches?cursor=1-a&limit=50`, here), "/batches?cursor=1-a&limit=50");
  }
});

test("a batch is told in short", () => {
  const counts = (failed) => ({ queued: 0, running: 0, succeeded: 3 - failed, failed });
  assert.equal(inShort({ total: 1 }), "1 job");
  assert.equal(inShort({ total: 3, counts: counts(0), finished: false }), "3 jobs, running");
  assert.equal(inShort({ total: 3, counts: counts(0), finished: true }), "3 jobs, all succeeded");
  assert.equal(inShort({ total: 3, counts: counts(2), finished: true }), "3 jobs, 2 failed");
});

test("options are headers, one a line, and a reference", () => {
  assert.deepEqual(optionsOf("", " "), { more: {}, trouble: "" });
  assert.deepEqual(optionsOf("Accept: text/html\n\n X-B :a: b ", " mine "), {
    more: { headers: { Accept: "text/html", "X-B": "a: b" }, reference: "mine" },
    trouble: "",
  });
});

test("a line that is no header is shown, and nothing of it is sent", () => {
  for (const line of ["Accept", "Accept:", ": a"]) {
    const { more, trouble } = optionsOf(`X: 1\n${line}`, "mine");
    assert.deepEqual(more, {});
    assert.ok(trouble.endsWith(line), trouble);
  }
  assert.match(optionsOf("X: 1\nx: 2", "").trouble, /header x is there twice/);
});

test("what is submitted again is what was submitted, where that is known", () => {
  assert.equal(asSubmitted({ url: "a" }), "a");
  assert.deepEqual(asSubmitted({ url: "a", reference: "r" }), { url: "a", reference: "r" });
  assert.equal(isRepeatable({ url: "a" }), true);
  assert.equal(
    isRepeatable({ url: "a", header_names: ["Accept"] }),
    false,
    "the values of headers are not shown again",
  );
});

test("a URL that was rejected is shown, whatever was submitted with it", () => {
  const problem = { errors: [{ pointer: "/urls/1", detail: "no" }] };
  assert.deepEqual(rejectedBy(problem, ["a", { url: "b", reference: "r" }]), [{ url: "b", detail: "no" }]);
});
