// What the page shows of a result or of a failure, and what a result is saved as.

import assert from "node:assert/strict";
import {
  aside,
  decoded,
  exactly,
  explained,
  factsOf,
  failureOf,
  fileName,
  folded,
  isBranch,
  kindOf,
  leafOf,
  membersOf,
  pendingOf,
  Problem,
  resultIn,
} from "../../../chalicelib/api/page_logic.js";

const { test } = Deno;
const NOW = Date.parse("2026-03-04T10:00:00Z");
const MIB = 1024 * 1024;

const result = (content_type, size = 10) => ({ content_type, size });

test("a result is shown by its type", () => {
  const kinds = {
    json: ["application/json", "Application/JSON ; charset=utf-8", "application/ld+json"],
    image: ["image/png", "image/jpeg", "image/webp", "image/vnd.microsoft.icon"],
    text: ["text/plain", "text/csv", "application/xml", "application/atom+xml", "application/javascript"],
    other: ["application/pdf", "application/octet-stream", "image/tiff", "video/mp4", "", "application/json5"],
  };
  for (const [kind, types] of Object.entries(kinds)) {
    for (const type of types) assert.equal(kindOf(result(type)), kind, type);
  }
});

test("markup is shown as text, and that is said", () => {
  for (const type of ["text/html", "TEXT/HTML;charset=x", "application/xhtml+xml", "image/svg+xml"]) {
    assert.equal(kindOf(result(type)), "text", type);
    assert.equal(aside(result(type)), "Shown as text: what you fetch never runs in this page.", type);
  }
  for (const type of ["text/plain", "application/json", "image/png"]) assert.equal(aside(result(type)), "", type);
});

test("what is too large or unknown is not shown, and that is said", () => {
  const large = "It is too large to be shown here. Save it to read it.";
  for (const [type, limit] of [["application/json", 5 * MIB], ["text/html", 5 * MIB], ["image/png", 25 * MIB]]) {
    assert.notEqual(kindOf(result(type, limit)), "large", type);
    assert.equal(kindOf(result(type, limit + 1)), "large", type);
    assert.equal(aside(result(type, limit + 1)), large, type);
  }
  assert.equal(
    aside(result("Application/PDF; x=y", 99 * MIB)),
    "It is application/pdf, which is not shown here. Save it to open it.",
  );
});

test("text is read in its charset, and in UTF-8 where nobody knows it", async () => {
  const blob = (...bytes) => new Blob([new Uint8Array(bytes)]);
  assert.equal(await decoded(blob(0xc3, 0xa9), "text/plain"), "\u00e9");
  assert.equal(await decoded(blob(0xe9), "text/plain; Charset=ISO-8859-1"), "\u00e9");
  assert.equal(await decoded(blob(0xe9), 'text/plain; format=flowed; charset="windows-1252"'), "\u00e9");
  assert.equal(await decoded(blob(0xc3, 0xa9), "text/plain; charset=x-unknown"), "\u00e9");
  assert.equal(await decoded(blob(0xff), "text/plain"), "\ufffd");
});

// --- Saving ---

const saved = (final_url, content_type = "text/html") => fileName({ final_url, content_type });

test("a result is saved by the last part of its URL", () => {
  assert.equal(saved("https://example.com/a/report.pdf?x=1#y", "application/pdf"), "report.pdf");
  assert.equal(saved("https://example.com/a/PHOTO.JPEG", "image/jpeg"), "PHOTO.JPEG");
  assert.equal(saved("https://example.com/a.c", "text/plain"), "a.c");
  assert.equal(saved("https://example.com/a/b/"), "b.html");
  assert.equal(saved("https://example.com/caf%C3%A9%20menu", "text/plain"), "caf\u00e9_menu.txt");
  assert.equal(saved("https://example.com/100%25%ZZ", "text/plain"), "100_25_ZZ.txt", "what cannot be decoded");
});

test("a result of a whole site is saved by its name", () => {
  assert.equal(saved("https://example.com/"), "example.com.html");
  assert.equal(saved("https://example.com/example.com"), "example.com.html");
});

test("an ending comes from the type where the URL has none", () => {
  const endings = {
    "text/plain; charset=utf-8": "txt",
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "application/json": "json",
    "text/x-c": "bin",
    "application/javascript": "bin",
    "application/ld+json": "json",
    "application/octet-stream": "bin",
    "application/vnd.ms-excel": "bin",
    "": "bin",
  };
  for (const [type, ending] of Object.entries(endings)) {
    assert.equal(saved("https://example.com/data", type), `data.${ending}`, type);
  }
});

test("no URL makes a name that leaves the folder, hides itself or breaks a line", () => {
  for (
    const path of [
      "..%2F..%2Fetc%2Fpasswd",
      "%2e%2e%2f",
      "...",
      ".bashrc",
      "a%00b%0Ac%0D",
      "%5C%5Chost%5Cx",
      "C%3Ax",
      "%3Cimg%3E",
    ]
  ) {
    const name = saved(`https://example.com/x/${path}`);
    assert.match(name, /^[\p{L}\p{N}_-][\p{L}\p{N}._-]*\.[a-z0-9]+$/u, path);
  }
  assert.equal(saved("https://example.com/%2e%2e%2e", "text/plain"), "result.txt");
  assert.equal(saved(`https://example.com/${"a".repeat(500)}.txt`, "text/plain"), `${"a".repeat(96)}.txt`);
});

// --- Failures and facts ---

test("each type of failure says what it means and what can be done", () => {
  const later = "Trying again later may help.";
  const check = "Check the URL; trying again will not help as long as it stays as it is.";
  const known = {
    timeout: ["The site took too long", later],
    connection: ["The connection failed", `The site may be down, or may have ended the connection. ${later}`],
    dns: ["The site was not found", `Check how its name is written. ${later}`],
    tls: [
      "The connection is not secure",
      "The site's certificate cannot be trusted, or it speaks no TLS that we know. Its owner must mend that.",
    ],
    blocked: [
      "This address may not be fetched",
      "Only public addresses are fetched, and not those of databases and of mail.",
    ],
    "too-large": ["The answer is too large", "Trying again will not help."],
    "too-many-redirects": ["The site redirects without end", check],
    "invalid-response": ["The site's answer cannot be understood", later],
    "host-busy": ["Too many URLs wait for this site", later],
    robots: [
      "The site does not want this page to be fetched",
      "Its robots.txt says so. Trying again will not help as long as that stays as it is.",
    ],
    "worker-lost": ["The fetch was lost on our side", "Trying again should help."],
    "of a later version": ["The fetch failed", later],
  };
  for (const [type, said] of Object.entries(known)) assert.deepEqual(explained({ type }), said);
});

test("a refusal of the site is explained by its status", () => {
  const titles = {
    400: "The site answered, and not with a page",
    401: "The site did not let us in",
    403: "The site did not let us in",
    404: "The site has no such page",
    410: "The site has no such page",
    429: "The site wants fewer requests",
    500: "The site is in trouble",
    503: "The site is in trouble",
  };
  for (const [status, title] of Object.entries(titles)) {
    assert.equal(explained({ type: "http-status", http_status: Number(status) })[0], title, status);
  }
});

test("only what may help is advised", () => {
  const cure = (status) => explained({ type: "http-status", http_status: status })[1];
  assert.equal(cure(503), "Trying again later may help.");
  assert.equal(cure(404), "Check the URL; trying again will not help as long as it stays as it is.");
  assert.equal(cure(403), "The page may need a login, or refuse programs. Trying again will hardly help.");
});

test("a job without a result says what it waits for", () => {
  const there = "Its result is shown here as soon as it is there.";
  const said = (job) => pendingOf({ url: "https://example.com/", ...job }, NOW).replaceAll("\u202f", " ");
  assert.equal(said({ status: "queued" }), `It waits for its first attempt, or for the next one. ${there}`);
  assert.equal(said({ status: "running" }), `It is being fetched. ${there}`);
  const waiting = { status: "queued", next_attempt_at: "2026-03-04T14:05:00.000Z" };
  assert.equal(said(waiting), `It waits for example.com until 2:05:00 PM. ${there}`);
});

test("a failure says what happened, how often it was tried, and what can be done", () => {
  const error = { type: "timeout", detail: "no answer within 60 s" };
  assert.deepEqual(failureOf({ error, attempts: 1 }), {
    what: "The site took too long",
    text: "No answer within 60 s. It was tried once. Trying again later may help.",
  });
  assert.match(failureOf({ error, attempts: 2 }).text, / It was tried 2 times\. /);
  assert.match(failureOf({ error, attempts: 0 }).text, / The site was not asked\. /);
});

const shown = (job) =>
  Object.fromEntries(factsOf(job, NOW).map(({ name, value }) => [name, String(value).replaceAll("\u202f", " ")]));

test("all that is known of a result is listed", () => {
  const job = {
    url: "https://example.com/",
    attempts: 2,
    reused: true,
    expires_at: "2026-03-11T10:00:00Z",
    finished_at: "2026-03-04T09:00:01Z",
    error: null,
    result: {
      http_status: 200,
      content_type: "text/html",
      fetched_at: "2026-03-04T09:00:00Z",
      final_url: "https://www.example.com/",
      sha256: "abc",
    },
  };
  assert.deepEqual(shown(job), {
    "HTTP status": "200",
    "Content type": "text/html",
    Fetched: "9:00:00 AM",
    Attempts: "2",
    "Shares its fetch": "yes, which another job started",
    "Kept until": "Mar 11, 10:00 AM",
    "Came from": "https://www.example.com/",
    "SHA-256": "abc",
  });
  const times = factsOf(job, NOW).filter(({ time }) => time).map(({ name, time }) => [name, time]);
  assert.deepEqual(times, [["Fetched", "2026-03-04T09:00:00Z"], ["Kept until", "2026-03-11T10:00:00Z"]]);
  const direct = { ...job, result: { ...job.result, final_url: job.url } };
  assert.ok(!("Came from" in shown(direct)), "only where it was redirected");
});

test("of a failure and of a job that waits, what is unknown is left out", () => {
  const waiting = { url: "https://example.com/", attempts: 0, reused: null, expires_at: "2026-03-11T10:00:00Z" };
  assert.deepEqual(shown({ ...waiting, result: null, error: null }), { "Kept until": "Mar 11, 10:00 AM" });
  const error = { type: "http-status", http_status: 404 };
  const failed = { ...waiting, attempts: 1, finished_at: "2026-03-04T09:00:01Z", result: null, error };
  assert.deepEqual(shown(failed), {
    "HTTP status": "404",
    Ended: "9:00:01 AM",
    Attempts: "1",
    "Kept until": "Mar 11, 10:00 AM",
  });
});

test("a job's line is found only as long as the job is there", () => {
  const line = (id) => JSON.stringify({ id, result: { link: "https://results.example/1" } });
  const job = { id: "b-7" };
  assert.equal(resultIn(`${line("b-7")}\n${line("b-8")}\n`, job).link, "https://results.example/1");
  for (const text of ["", line("b-8"), '{"id": "b-7", "result": null}']) {
    assert.throws(
      () => resultIn(text, job),
      (problem) =>
        problem instanceof Problem && problem.message === "This job is gone: it was deleted, or it has expired.",
    );
  }
});

// --- JSON as a tree ---

const read = (text) => JSON.parse(text, exactly);

test("a number is shown as it is written", () => {
  for (const text of ["12345678901234567890", "1.10", "1e400", "-0", "0"]) {
    assert.deepEqual(leafOf(read(text)), ["number", text]);
    assert.ok(!isBranch(read(text)));
  }
});

test("other values are shown as JSON writes them", () => {
  assert.deepEqual(leafOf(read('"a\\n<b>\\""')), ["string", '"a\\n<b>\\""']);
  assert.deepEqual(leafOf(read("true")), ["boolean", "true"]);
  assert.deepEqual(leafOf(read("null")), ["null", "null"]);
});

test("an array or object that is closed says how much is in it", () => {
  const cases = {
    "[]": "[ ]",
    "{}": "{ }",
    "[1]": "[ 1 item ]",
    "[[], {}]": "[ 2 items ]",
    '{"a": null}': "{ 1 member }",
    '{"a": 1, "b": 2}': "{ 2 members }",
  };
  for (const [text, expected] of Object.entries(cases)) {
    assert.ok(isBranch(read(text)), text);
    assert.equal(folded(read(text)), expected, text);
  }
});

test("members are in order, with their keys", () => {
  assert.deepEqual(membersOf(["x", "y"]), [["0", "x"], ["1", "y"]]);
  assert.deepEqual(membersOf({ b: "x", a: "y" }), [["b", "x"], ["a", "y"]]);
});
