// What the page says when something goes wrong, and what it does next.

import assert from "node:assert/strict";
import {
  isToken,
  parsed,
  pauseBefore,
  Problem,
  refused,
  troubleOf,
  unreachable,
  waitOf,
} from "../../../chalicelib/api/page_logic.js";

const { test } = Deno;
const PROBLEMS = "https://example.com/problems";

const refusal = (status, problem = {}, wait = null) => refused(status, JSON.stringify(problem), wait);

test("the service's own words are said", () => {
  const problem = refusal(409, { type: `${PROBLEMS}/in-progress`, detail: "the same key is being worked on" }, 2);
  assert.equal(problem.message, "The same key is being worked on.");
  assert.equal(problem.name, "in-progress");
  assert.equal(problem.whole, "The same key is being worked on. Try again in 2 s.");
});

test("each kind of refusal has its sentence", () => {
  const detail = "that is so";
  const quota = { type: `${PROBLEMS}/quota-exceeded`, detail };
  assert.equal(refusal(401, { detail }).message, "An access token is needed, and none was given.");
  assert.equal(refusal(429, quota, 30).whole, "The quota is used up. That is so. Try again in 30 s.");
  assert.equal(refusal(503, { detail }).message, "The service cannot do this now.");
  assert.equal(refusal(500, { detail }).message, "Something is wrong at the service. That is so.");
  assert.equal(refusal(422, { detail }).message, "That is so.");
});

test("a gateway's answer is no problem document", () => {
  for (const text of ["", "<html>Bad gateway</html>", "null", "[]", "7", '"no"', '{"type": 7}']) {
    assert.equal(
      refused(502, text, null).message,
      "Something is wrong at the service. The service answered 502.",
      text,
    );
    assert.deepEqual(refused(404, text, null).errors, [], text);
    assert.equal(refused(404, text, null).message, "The service answered 404.", text);
  }
});

test("something else than the service may answer", () => {
  assert.deepEqual(parsed({ text: '{"id": "1"}' }), { id: "1" });
  assert.throws(() => parsed({ text: "<html>Log in</html>" }), (problem) => {
    assert.ok(problem instanceof Problem);
    return problem.message === "Something else than the service has answered: a proxy, or a page to log in?";
  });
});

test("who is offline is told so, and others that nobody answers", () => {
  assert.equal(unreachable("The service", false).message, "This device is offline.");
  assert.equal(
    unreachable("The service", true).message,
    "The service does not answer. It may be restarting, or the connection may be down.",
  );
  assert.equal(unreachable("The service", true).status, 0);
});

test("Retry-After counts where it is in seconds", () => {
  assert.equal(waitOf("7"), 7);
  for (const none of [null, "", "0", "Wed, 04 Mar 2026 10:00:00 GMT"]) assert.equal(waitOf(none), null);
});

test("a token is what fits into a header", () => {
  for (const token of ["fq_abc123", "!", "~"]) assert.ok(isToken(token), token);
  for (const text of ["", "fq abc", "fq_\u00e9", "fq_a\nb", "\ttab"]) assert.ok(!isToken(text), text);
});

test("a submission that got no answer is sent again, after longer and longer pauses", () => {
  const lost = new Problem("lost");
  assert.deepEqual([1, 2, 3, 4, 5].map((tries) => pauseBefore(lost, tries, true)), [1, 2, 4, 8, null]);
  assert.equal(pauseBefore(lost, 1, false), null, "an offline device");
  for (const status of [502, 504]) assert.equal(pauseBefore(refusal(status), 1, true), 1);
  assert.equal(pauseBefore(refusal(502), 1, false), 1, "there was an answer, so the device is not offline");
});

test("a submission is sent again when the service says, unless that takes too long", () => {
  const busy = { type: `${PROBLEMS}/in-progress` };
  for (const [status, problem] of [[429, {}], [503, {}], [409, busy]]) {
    assert.equal(pauseBefore(refusal(status, problem, 7), 1, true), 7, `${status}`);
    assert.equal(pauseBefore(refusal(status, problem, 60), 4, true), 60, `${status}`);
    assert.equal(pauseBefore(refusal(status, problem, 61), 1, true), null, `${status}`);
    assert.equal(pauseBefore(refusal(status, problem), 1, true), null, `${status}`);
    assert.equal(pauseBefore(refusal(status, problem, 7), 5, true), null, `${status}`);
  }
});

test("a submission that was refused is not sent again", () => {
  for (const status of [400, 401, 404, 409, 413, 422, 500]) {
    assert.equal(pauseBefore(refusal(status, {}, 1), 1, true), null, `${status}`);
  }
});

test("watching goes on by itself after what passes", () => {
  const trouble = troubleOf(refusal(503, {}, 5), 1, true);
  assert.deepEqual(trouble, {
    text: "The service cannot do this now. Looking again in 5 s.",
    action: "Look again",
    wait: 5,
  });
  const pauses = [1, 2, 3, 6, 7, 40].map((failures) => troubleOf(new Problem("Lost."), failures, true).wait);
  assert.deepEqual(pauses, [2, 4, 8, 60, 60, 60]);
  for (const status of [429, 500, 502, 504]) assert.equal(troubleOf(refusal(status), 1, true).wait, 2, `${status}`);
});

test("watching waits for the device to be online again", () => {
  const { text, wait } = troubleOf(unreachable("The service", false), 1, false);
  assert.equal(text, "This device is offline. Watching goes on when it is back.");
  assert.equal(wait, null);
});

test("watching waits for a person where waiting alone is no help", () => {
  assert.deepEqual(troubleOf(refusal(401), 1, true), {
    text: "An access token is needed, and none was given.",
    action: "Give a token",
    wait: null,
  });
  assert.deepEqual(troubleOf(refusal(403, { detail: "no" }), 1, true), {
    text: "No.",
    action: "Look again",
    wait: null,
  });
});
