// The page: elements, requests, and what this browser keeps. What it says is decided in page_logic.js.
// Whatever comes from outside (URLs, results, details) enters the page as text nodes only: see make() and put().

import {
  aside,
  asSubmitted,
  BATCH_ID,
  batchPath,
  capital,
  cellsOf,
  countOf,
  cursorOf,
  cut,
  decoded,
  exactly,
  factsOf,
  failureOf,
  fileName,
  fileTrouble,
  folded,
  inAWhile,
  inShort,
  isBranch,
  isRepeatable,
  isToken,
  kindOf,
  leafOf,
  lines,
  linksOf,
  listPath,
  many,
  mediaType,
  membersOf,
  moment,
  noJob,
  number,
  numberOf,
  optionsOf,
  parsed,
  pauseBefore,
  pendingOf,
  Problem,
  progressOf,
  rangeOf,
  refused,
  rejectedBy,
  resultIn,
  sending,
  sentence,
  SHOWN_CHARACTERS,
  SHOWN_MEMBERS,
  size,
  STATUSES,
  submitted,
  troubleOf,
  unreachable,
  waitOf,
  withBatches,
  withLines,
} from "./page_logic.js";

const PREFIX = document.querySelector('meta[name="api-prefix"]').getAttribute("content");
const LIST = "/batches?limit=50";
const POLL_SECONDS = 2; // where an answer has no Retry-After

/** @returns {any} the element with that id, which has the members of its kind */
const $ = (id) => document.getElementById(id);

// --- Elements ---

/** An element; children that are strings become text, never markup. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function button(label, action, className = "") {
  const made = make("button", { type: "button", className }, label);
  made.addEventListener("click", action);
  return made;
}

/** Say something where it belongs; "" takes it away. An action is a button beside it. */
function tell(note, text, kind = "", action = null) {
  note.className = `note ${kind}`;
  if (action) note.replaceChildren(text, action);
  else put(note, text);
}

/** Say something to those who listen and do not see. */
function announce(text) {
  put($("live"), text);
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Run what a button is for, once at a time; what goes wrong is told in the note. */
async function during(pressed, note, work) {
  if (pressed.ariaDisabled) return; // and not `disabled`, which would take the focus away
  pressed.ariaDisabled = "true";
  try {
    await work();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    tell(note, problem.whole, "bad");
  } finally {
    pressed.ariaDisabled = null;
  }
}

// --- The API ---

/** One request to the API; a token is asked for when it wants one, if that may be. Returns the answer's text and Retry-After. */
async function call(method, path, { body = null, key = null, mayAsk = true } = {}) {
  const sent = token;
  const headers = {
    ...(body && { "Content-Type": "application/json" }),
    ...(key && { "Idempotency-Key": key }),
    ...(sent && { Authorization: `Bearer ${sent}` }),
  };
  let response, text;
  try {
    response = await fetch(PREFIX + path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
    text = await response.text();
  } catch {
    throw unreachable("The service", navigator.onLine);
  }
  const wait = waitOf(response.headers.get("Retry-After"));
  if (response.ok) return { text, wait };
  if (response.status === 401 && mayAsk && (await askForToken(sent))) return call(method, path, { body, key });
  throw refused(response.status, text, wait);
}

// --- The token: asked for when the service wants one, kept for the session only ---

const TOKEN = "fetch-queue.token";
let token = null;
let asking = null;

/** The session's storage, or what stands in for it where the browser allows none. */
function session() {
  try {
    return globalThis.sessionStorage;
  } catch {
    return { getItem: () => null, setItem() {}, removeItem() {} };
  }
}

/** Ask for a token in place of the one that was refused; resolves to whether there is another one now. */
function askForToken(refusedOne) {
  if (token !== refusedOne) return Promise.resolve(true); // given meanwhile
  asking ??= new Promise((resolve) => {
    keepToken(null);
    put($("token-title"), refusedOne ? "The service does not accept this token" : "An access token is needed");
    $("token-text").value = "";
    $("token").showModal();
    $("token").addEventListener("close", () => resolve(token !== null), { once: true });
  }).finally(() => (asking = null));
  return asking;
}

function keepToken(given) {
  if (token !== given) forgetBatches();
  token = given;
  if (token) session().setItem(TOKEN, token);
  else session().removeItem(TOKEN);
  $("forget-token").hidden = !token;
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("token-text").value.trim();
  if (!isToken(text)) return $("token-text").focus(); // nothing that fits into a header
  keepToken(text);
  $("token-text").value = "";
  $("token").close();
  readList();
});
$("token-cancel").addEventListener("click", () => $("token").close());
$("forget-token").addEventListener("click", () => {
  keepToken(null);
  announce("The token is forgotten.");
  readList();
  $("urls").focus();
});

// --- Asking before something is deleted ---

let decide = (_yes) => {}; // the question that is asked

/** Ask; resolves to whether it was confirmed. Escape and Cancel say no. */
function confirmed(title, text, yes) {
  decide(false); // an earlier dialog, of whose end the browser has not told yet
  put($("confirm-title"), title);
  put($("confirm-text"), text);
  put($("confirm-yes"), yes);
  $("confirm").showModal();
  return new Promise((resolve) => (decide = resolve));
}

$("confirm-form").addEventListener("submit", (event) => {
  event.preventDefault();
  decide(true);
  $("confirm").close();
});
$("confirm").addEventListener("close", () => $("confirm").open || decide(false));
$("confirm-no").addEventListener("click", () => $("confirm").close());

// --- The batches: listed by the service, newest first, and known by what this page has seen of them since ---

let known = []; // those that are listed, as far as the list was read
let older = null; // the path of the rest
let reading = 0; // of the list; only the latest one's answer is shown
const opened = new Map(); // batches that this page has submitted or shown, which the list may not have yet
const seen = new Map(); // what it has seen of them: "200 jobs"

/** Read the list, from its beginning or on from where it was read to. */
async function readList(path = LIST) {
  const mine = ++reading;
  try {
    const page = parsed(await call("GET", path, { mayAsk: false }));
    if (mine !== reading) return;
    known = withBatches(path === LIST ? [...opened.values()] : known, page.batches);
    older = page.next && listPath(page.next, location.href);
    tell($("history-note"), "");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (mine !== reading) return;
    if (problem.status === 401) {
      tell(
        $("history-note"),
        "They are listed once you have given your access token.",
        "",
        button("Give it", giveToken),
      );
    } else tell($("history-note"), problem.whole, "bad", button("Try again", () => readAgain(path)));
  }
  showHistory();
}

async function readAgain(path) {
  await readList(path);
  $("history-title").focus();
}

async function giveToken() {
  await askForToken(token);
  $("history-title").focus();
}

/** Know nothing of what another token has shown. */
function forgetBatches() {
  known = [];
  older = null;
  opened.clear();
  seen.clear();
}

function remember(batch) {
  const words = inShort(batch);
  if (seen.get(batch.id) === words && opened.has(batch.id)) return;
  seen.set(batch.id, words);
  known = withBatches(known, [batch]);
  opened.set(batch.id, known.find(({ id }) => id === batch.id));
  showHistory();
}

function forget(id) {
  opened.delete(id);
  known = known.filter((batch) => batch.id !== id);
  showHistory();
}

function showHistory(now = Date.now()) {
  const batches = known.filter(({ expires_at }) => Date.parse(expires_at) > now);
  $("history-none").hidden = batches.length > 0 || $("history-note").textContent !== "";
  $("history").hidden = batches.length === 0;
  $("older").hidden = older === null;
  const items = batches.map(({ id, submitted_at, submitted }) => {
    const link = make("a", { href: `#${id}` }, make("span", {}, moment(submitted_at)));
    link.append(make("span", { className: "soft small" }, seen.get(id) ?? many(submitted, "job")));
    if (watched?.id === id) link.setAttribute("aria-current", "true");
    return make("li", {}, link);
  });
  const focused = $("history").contains(document.activeElement) && document.activeElement.getAttribute("href");
  $("history").replaceChildren(...items);
  if (focused) $("history").querySelector(`a[href="${focused}"]`)?.focus();
}

$("older").addEventListener("click", () =>
  during($("older"), $("history-note"), async () => {
    const before = $("history").children.length;
    await readList(older);
    const more = $("history").children.length - before;
    announce(more ? `${many(more, "older batch", "older batches")} listed.` : "There are no older batches.");
    if (more) $("history").children[before].firstElementChild.focus();
  }));

// --- Submitting ---

const unsent = new Map(); // submissions that have begun, by their text: what is still to be sent, each part with its key

/** Submit a part. Returns the batch, or null where none of its URLs is valid, and what was rejected. */
async function send({ urls, key }, more, note) {
  try {
    const batch = await post("/batches", { body: { urls, ...more }, key }, note);
    return { batch, rejected: batch.rejected };
  } catch (problem) {
    const rejected = rejectedBy(problem, urls);
    if (!rejected.length) throw problem;
    return { batch: null, rejected };
  }
}

/** A POST with a key, which makes it safe to be tried again. Returns what it answers. */
async function post(path, request, note) {
  for (let tries = 1;; tries++) {
    try {
      return parsed(await call("POST", path, request));
    } catch (problem) {
      const pause = problem instanceof Problem ? pauseBefore(problem, tries, navigator.onLine) : null;
      if (pause === null) throw problem;
      tell(note, `${problem.message} Trying again ${inAWhile(pause)}.`);
      await sleep(pause);
    }
  }
}

/**
 * Submit URLs, a batch for each part, with `more` for all of them, and open the first batch. What an earlier try of the
 * same URLs has sent is not sent again. Returns what was rejected.
 */
async function submitAll(urls, more, note) {
  const text = JSON.stringify([urls, more]);
  if (!unsent.has(text)) {
    const parts = cut(urls);
    unsent.set(text, { parts, total: parts.length, rejected: [], first: null });
  }
  const work = unsent.get(text);
  while (work.parts.length) {
    tell(note, sending(urls, work.total, work.parts.length));
    const { batch, rejected } = await send(work.parts[0], more, note);
    work.parts.shift();
    work.rejected.push(...rejected);
    if (batch) {
      remember(batch);
      work.first ??= batch.id;
      if (work.first === batch.id) openBatch(batch.id, { focus: false });
    }
  }
  unsent.delete(text);
  tell(note, "");
  return work;
}

async function submitForm() {
  const urls = lines($("urls").value);
  const note = $("submit-note");
  if (!urls.length) {
    tell(note, "Give at least one URL.", "bad");
    return $("urls").focus();
  }
  const { more, trouble } = optionsOf($("headers").value, $("reference").value);
  if (trouble) {
    $("options").open = true;
    tell(note, trouble, "bad");
    return $("headers").focus();
  }
  showRejected([]);
  $("urls").readOnly = true;
  await during($("send"), note, async () => {
    try {
      const { first, rejected, total } = await submitAll(urls, more, note);
      $("urls").value = "";
      showCount();
      showRejected(rejected);
      if (total > 1) tell(note, submitted(urls, rejected, total), "good");
      (first ? $("batch-title") : $("rejected-title")).focus();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      problem.message += " Nothing is lost: Submit goes on with what was not sent.";
      throw problem;
    }
  });
  $("urls").readOnly = false;
}

function showRejected(rejected) {
  $("rejected").hidden = rejected.length === 0;
  put($("rejected-title"), `${many(rejected.length, "URL was", "URLs were")} not accepted`);
  $("rejected-list").replaceChildren(
    ...rejected.map(({ url, detail }) =>
      make("li", {}, make("code", {}, url), make("p", { className: "why small" }, sentence(detail)))
    ),
  );
}

function showCount() {
  put($("count"), countOf($("urls").value));
}

function addLines(text) {
  const field = $("urls");
  if (field.readOnly) return;
  field.value = withLines(field.value, text);
  showCount();
  field.focus();
}

async function addFile(file) {
  const text = fileTrouble(file) ? "" : await file.text();
  const trouble = fileTrouble(file, text);
  if (trouble) return tell($("submit-note"), trouble, "bad");
  addLines(text);
  tell($("submit-note"), `${many(lines(text).length, "URL")} from ${file.name}.`);
}

$("urls").addEventListener("input", showCount);
$("urls").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("submit").requestSubmit();
});
$("submit").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!$("send").ariaDisabled) submitForm();
});
$("file").addEventListener("change", async () => {
  for (const file of $("file").files) await addFile(file);
  $("file").value = "";
});
$("mend").addEventListener("click", () => {
  addLines([...$("rejected-list").querySelectorAll("code")].map((code) => code.textContent).join("\n"));
  showRejected([]);
});
$("dismiss").addEventListener("click", () => {
  showRejected([]);
  $("urls").focus();
});

const carriesLines = (event) => ["Files", "text/uri-list"].some((type) => event.dataTransfer?.types.includes(type));
document.addEventListener("dragover", (event) => {
  if (!carriesLines(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", async (event) => {
  document.body.classList.remove("dropping");
  if (!carriesLines(event)) return;
  event.preventDefault();
  const files = [...event.dataTransfer.files];
  const links = event.dataTransfer.getData("text/uri-list");
  if (links) addLines(linksOf(links));
  for (const file of files) await addFile(file);
});

// --- Watching a batch ---

let watched = null; // { id, status, cursors: where each page up to the shown one begins, answer, told, failures }
let turn = 0; // of looking; only the latest one's answer is shown
let timer = 0;

/** Open a batch: what the address names, so that reloading and going back work. */
function openBatch(id, { focus = true } = {}) {
  if (location.hash !== `#${id}`) history.pushState(null, "", `#${id}`);
  watch(id);
  if (focus) $("batch-title").focus();
}

function watch(id) {
  if (watched?.id === id) return look();
  closeBatch();
  watched = { id, status: null, cursors: [0], answer: null, told: 0, failures: 0 };
  $("welcome").hidden = true;
  $("batch").hidden = false;
  put($("batch-title"), "Batch");
  put($("batch-facts"), `${id}`);
  tell($("batch-note"), "Looking …");
  for (const shown of ["relatives", "progress", "progress-text", "filters", "jobs", "pager", "rows-none", "retry"]) {
    $(shown).hidden = true;
  }
  showHistory();
  look();
}

/** Show no batch, and say why where there is a reason. */
function closeBatch(reason = "") {
  turn++;
  clearTimeout(timer);
  watched = null;
  showRows([]);
  $("batch").hidden = true;
  $("welcome").hidden = false;
  document.title = "Fetch Queue";
  tell($("welcome-note"), reason);
  showHistory();
}

function leave(reason) {
  const focused = $("batch").contains(document.activeElement) || document.activeElement === document.body;
  history.replaceState(null, "", location.pathname + location.search);
  closeBatch(reason);
  if (focused) $("welcome-title").focus();
}

/** Ask how the watched batch is, show it, and come back when its Retry-After says. */
async function look() {
  clearTimeout(timer);
  if (!watched) return;
  const mine = ++turn;
  const { id, cursors, status } = watched;
  let wait;
  try {
    const answer = await call("GET", batchPath(id, cursors.at(-1), status));
    if (mine !== turn) return;
    const batch = parsed(answer);
    watched.failures = 0;
    tell($("batch-note"), "");
    showBatch(batch);
    wait = batch.finished ? null : answer.wait ?? POLL_SECONDS;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (mine !== turn) return;
    if (problem.status === 404) {
      forget(id);
      return leave("This batch is gone: it was deleted, or it has expired.");
    }
    wait = showTrouble(problem);
  }
  if (wait !== null) timer = setTimeout(look, wait * 1000);
}

/** Say why there is no news. Returns when to ask again, in seconds, or null where somebody must do something first. */
function showTrouble(problem) {
  const { text, action, wait } = troubleOf(problem, watched.failures + 1, navigator.onLine);
  if (wait !== null && problem.wait === null) watched.failures++;
  tell($("batch-note"), text, "bad", button(action, look));
  return wait;
}

addEventListener("online", () => watched && look());
addEventListener("hashchange", route);
addEventListener("popstate", route);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  readList();
  if (watched?.answer && !watched.answer.finished) look();
});

/** Show what the address names. */
function route() {
  const id = location.hash.slice(1);
  if (BATCH_ID.test(id)) {
    if (watched?.id !== id) openBatch(id);
  } else if (watched) closeBatch();
}

function showBatch(batch) {
  if (!batch.jobs.length && watched.cursors.length > 1) return turnTo([0]); // what was on this page has gone
  watched.answer = batch;
  const { counts, total } = batch;
  for (const shown of ["progress", "progress-text", "filters"]) $(shown).hidden = false;
  put($("batch-title"), `Batch of ${moment(batch.submitted_at)}`);
  put($("batch-facts"), `${batch.id}, kept until ${moment(batch.expires_at)}`);
  showRelatives(batch);
  put($("retry"), `Retry ${many(counts.failed, "failed job")}`);
  $("retry").hidden = counts.failed === 0;
  showProgress(batch);
  showFilters(counts, total);
  showRows(batch.jobs);
  showPager(batch);
  remember(batch);
}

/** Links to the batch that this one retries, and to the newest that retries it. */
function showRelatives({ retry_of, retried_by }) {
  const links = [["Retry of", retry_of], ["Retried as", retried_by]]
    .filter(([, id]) => id)
    .map(([what, id]) => make("span", {}, `${what} `, make("a", { href: `#${id}` }, `batch ${id.slice(0, 8)}`)));
  $("relatives").hidden = links.length === 0;
  if ($("relatives").textContent !== links.map((link) => link.textContent).join("")) {
    $("relatives").replaceChildren(...links);
  }
}

function showProgress(batch) {
  const { counts, total } = batch;
  const { done, text, title, quarter, heard } = progressOf(batch);
  const bar = $("progress");
  for (const status of STATUSES) bar.querySelector(`.${status}`).style.flexGrow = counts[status];
  bar.setAttribute("aria-valuemax", total);
  bar.setAttribute("aria-valuenow", done);
  bar.setAttribute("aria-valuetext", `${done} of ${total}`);
  put($("progress-text"), text);
  document.title = title;
  // Heard at each quarter and at the end, not at each look.
  if (quarter > watched.told) announce(heard);
  watched.told = Math.max(watched.told, quarter);
}

function showFilters(counts, total) {
  const choices = [[null, "All", total], ...STATUSES.map((status) => [status, capital(status), counts[status]])];
  const group = $("filters");
  if (!group.children.length) {
    for (const [status, label] of choices) {
      const choice = button("", () => choose(status));
      if (status) choice.append(make("span", { className: `dot ${status}` }));
      choice.append(`${label} `, make("b"));
      group.append(choice);
    }
  }
  choices.forEach(([status, , count], at) => {
    put(group.children[at].querySelector("b"), number(count));
    group.children[at].setAttribute("aria-pressed", watched.status === status);
  });
}

function choose(status) {
  watched.status = status;
  if (watched.answer) showFilters(watched.answer.counts, watched.answer.total);
  turnTo([0]);
}

function turnTo(cursors) {
  watched.cursors = cursors;
  $("jobs").setAttribute("aria-busy", "true");
  return look();
}

function showPager(batch) {
  const shown = batch.jobs.length > 0;
  const pages = watched.cursors.length - 1;
  $("jobs").hidden = !shown;
  $("jobs").removeAttribute("aria-busy");
  $("rows-none").hidden = shown;
  put($("rows-none"), noJob(watched.status));
  $("pager").hidden = !pages && !batch.next;
  put($("range"), rangeOf(batch, pages, watched.status));
  $("previous").disabled = !pages;
  $("next").disabled = !batch.next;
}

async function turnPage(cursors) {
  await turnTo(cursors);
  announce($("range").textContent);
  $("batch-title").scrollIntoView();
  $("rows").querySelector("button")?.focus({ preventScroll: true });
}
$("previous").addEventListener("click", () => turnPage(watched.cursors.slice(0, -1)));
$("next").addEventListener("click", () => turnPage([...watched.cursors, cursorOf(watched.answer.next, location.href)]));

/** Submit a job again, in a batch of its own. */
async function resubmit(job) {
  await submitAll([asSubmitted(job)], {}, $("batch-note"));
  $("batch-title").focus();
  announce("The failed job is submitted again as a new batch.");
}

/** Submit what failed of a batch again, and open the new one; one key for each state of it that was tried. */
async function retry({ id, counts }) {
  const state = `${id} ${counts.failed}`;
  if (!retries.has(state)) retries.set(state, crypto.randomUUID());
  try {
    const batch = await post(`/batches/${id}/retry`, { key: retries.get(state) }, $("batch-note"));
    retries.delete(state);
    remember(batch);
    showRejected(batch.rejected);
    if (watched?.id === id) openBatch(batch.id);
    announce(`${many(batch.total, "failed job")} submitted again as a new batch.`);
  } catch (problem) {
    if (problem.status >= 400 && problem.status < 500) retries.delete(state); // it was answered
    throw problem;
  }
}

const retries = new Map(); // keys of retries that were not answered

$("retry").addEventListener("click", () => during($("retry"), $("batch-note"), () => retry(watched.answer)));

$("delete-batch").addEventListener("click", async () => {
  const { id, answer } = watched;
  const jobs = answer ? many(answer.total, "job") : "jobs";
  if (
    !(await confirmed(
      "Delete this batch?",
      `Its ${jobs} and their results are deleted for good; a result that another job shares stays with that job.`,
      "Delete batch",
    ))
  ) return;
  during($("delete-batch"), $("batch-note"), async () => {
    tell($("batch-note"), "Deleting …");
    await remove(`/batches/${id}`);
    forget(id);
    if (watched?.id === id) leave("The batch is deleted.");
  });
});

/** Delete; what is gone already is as good. */
async function remove(path) {
  try {
    await call("DELETE", path);
  } catch (problem) {
    if (problem.status !== 404) throw problem;
  }
}

// --- The rows: one for each job, kept while the job is shown ---

const rows = new Map();

function showRows(jobs) {
  const ids = new Set(jobs.map((job) => job.id));
  for (const [id, row] of rows) if (!ids.has(id)) row.remove();
  let before = null;
  for (const job of jobs) {
    const row = rows.get(job.id) ?? new Row(job);
    row.show(job);
    // An element that is moved loses the focus, so only what is not in its place is moved.
    if ((before ? before.detail.nextElementSibling : $("rows").firstElementChild) !== row.line) {
      if (before) before.detail.after(row.line, row.detail);
      else $("rows").prepend(row.line, row.detail);
    }
    before = row;
  }
}

class Row {
  constructor(job) {
    const [line, detail] = $("job-template").content.cloneNode(true).children;
    this.line = line;
    this.detail = detail;
    this.opener = this.line.querySelector(".open");
    this.job = null;
    this.panel = null;
    this.detail.id = `detail-${job.id}`;
    this.opener.setAttribute("aria-controls", this.detail.id);
    this.opener.addEventListener("click", () => (this.panel ? this.close() : this.open()));
    const deleter = this.line.querySelector(".c-act button");
    deleter.ariaLabel = deleter.title = `Delete job ${numberOf(job) + 1}`;
    deleter.addEventListener("click", () => this.delete(deleter));
    rows.set(job.id, this);
  }

  cell(name) {
    return this.line.querySelector(`.${name}`);
  }

  show(job) {
    const changed = this.job?.status !== job.status || this.job.next_attempt_at !== job.next_attempt_at;
    this.job = job;
    if (!changed) return;
    const cells = cellsOf(job);
    this.cell("address").replaceChildren(make("i", {}, cells.scheme), cells.rest);
    this.opener.title = job.url;
    put(this.cell("c-number"), cells.number);
    put(this.cell("pill"), job.status);
    this.cell("pill").className = `pill ${job.status}`;
    put(this.cell("c-size"), cells.size);
    put(this.cell("c-time"), cells.time);
    put(this.cell("c-reuse"), cells.reuse);
    put(this.cell("reason"), cells.reason);
    this.cell("reason").hidden = !job.error;
    put(this.cell("wait"), cells.wait);
    this.cell("wait").hidden = !cells.wait;
    if (this.panel) this.open();
  }

  open() {
    this.panel?.discard();
    this.panel = new Panel(this.job);
    this.detail.firstElementChild.replaceChildren(this.panel.element);
    this.detail.hidden = false;
    this.opener.setAttribute("aria-expanded", "true");
  }

  close() {
    this.panel.discard();
    this.panel = null;
    this.detail.firstElementChild.replaceChildren();
    this.detail.hidden = true;
    this.opener.setAttribute("aria-expanded", "false");
  }

  remove() {
    this.panel?.discard();
    const focused = this.line.contains(document.activeElement) || this.detail.contains(document.activeElement);
    const following = this.detail.nextElementSibling ?? this.line.previousElementSibling?.previousElementSibling;
    this.line.remove();
    this.detail.remove();
    rows.delete(this.job.id);
    if (focused) (following?.querySelector(".open") ?? $("batch-title")).focus();
  }

  async delete(pressed) {
    const text = `${this.job.url}\nThe job is deleted for good, and so is its result, unless another job shares it.`;
    if (!(await confirmed(`Delete job ${numberOf(this.job) + 1}?`, text, "Delete job"))) return;
    during(pressed, $("batch-note"), async () => {
      await remove(`/jobs/${this.job.id}`);
      this.remove();
      announce("The job is deleted.");
      if (watched?.id === this.job.batch_id) look();
    });
  }
}

// --- What a row opens: the result, or why there is none ---

class Panel {
  constructor(job) {
    this.job = job;
    this.element = make("div", { className: "panel" });
    this.note = make("p", { className: "note" });
    this.note.setAttribute("role", "status");
    this.bytes = null; // a promise of them, once they are asked for
    this.discarded = false;
    if (job.status === "succeeded") this.showResult();
    else if (job.status === "failed") this.showFailure();
    else this.element.append(make("p", {}, pendingOf(job)), facts(job));
  }

  discard() {
    this.discarded = true;
    if (this.imageUrl) URL.revokeObjectURL(this.imageUrl);
  }

  async showResult() {
    const { result } = this.job;
    const kind = kindOf(result);
    this.tools = make("div", { className: "line" }, make("h3", {}, `Result, ${size(result.size)}`));
    this.view = make("div");
    if (["json", "text"].includes(kind)) this.tools.append(this.tool("Copy", () => this.copy()));
    this.tools.append(this.tool("Save", () => this.save()));
    this.element.append(this.tools, this.note, this.view, facts(this.job));
    if (["large", "other"].includes(kind)) return tell(this.note, aside(result));
    tell(this.note, "Loading …");
    try {
      const bytes = await this.load();
      if (this.discarded) return;
      tell(this.note, aside(result));
      if (kind === "image") this.showImage(bytes);
      else if (kind === "json") await this.showJson(bytes);
      else this.showText(await decoded(bytes, result.content_type));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      tell(
        this.note,
        problem.whole,
        "bad",
        button("Try again", () => this.element.replaceChildren() ?? this.showResult()),
      );
    }
  }

  tool(label, work) {
    const pressed = button(label, () => during(pressed, this.note, work));
    if (!this.tools.querySelector("button")) pressed.classList.add("push");
    return pressed;
  }

  /** The result's bytes, by a link that is good for a minute. */
  load() {
    this.bytes ??= readResult(this.job).catch((problem) => {
      this.bytes = null;
      throw problem;
    });
    return this.bytes;
  }

  async showJson(bytes) {
    const text = await decoded(bytes, "");
    let value;
    try {
      value = JSON.parse(text, exactly);
    } catch {
      tell(this.note, "It says that it is JSON, and cannot be read as such: shown as text.");
      return this.showText(text);
    }
    const view = viewer("div", "tree", "Result as a tree", tree(null, value, 2));
    const toggle = button("As text", () => {
      const asText = toggle.textContent === "As text";
      put(toggle, asText ? "As tree" : "As text");
      if (asText) this.showText(text);
      else this.view.replaceChildren(view);
    });
    this.tools.querySelector("button").before(toggle);
    toggle.classList.add("push");
    toggle.nextElementSibling.classList.remove("push");
    this.view.replaceChildren(view);
  }

  showText(text) {
    const view = viewer("pre", "", "Result as text", text.slice(0, SHOWN_CHARACTERS));
    this.view.replaceChildren(view);
    if (text.length <= SHOWN_CHARACTERS) return;
    const more = button(`Show the other ${many(text.length - SHOWN_CHARACTERS, "character")}`, () => {
      view.append(text.slice(SHOWN_CHARACTERS));
      more.remove();
      view.focus();
    });
    this.view.append(more);
  }

  showImage(bytes) {
    const typed = bytes.slice(0, bytes.size, mediaType(this.job.result)); // one of IMAGE_TYPES
    this.imageUrl = URL.createObjectURL(typed);
    const image = make("img", { src: this.imageUrl, alt: `Image from ${this.job.url}` });
    const measure = make("span", { className: "soft small" });
    image.addEventListener("load", () => put(measure, `${image.naturalWidth} × ${image.naturalHeight} pixels`));
    image.addEventListener("error", () => {
      this.view.replaceChildren();
      tell(this.note, "It says that it is an image, and cannot be shown as one. Save it to look into it.");
    });
    this.tools.querySelector("h3").after(measure);
    this.view.replaceChildren(viewer("div", "", "Result as an image", image));
  }

  async copy() {
    const text = await decoded(await this.load(), this.job.result.content_type);
    try {
      await navigator.clipboard.writeText(text);
      tell(this.note, "Copied.", "good");
    } catch {
      tell(this.note, "The browser did not allow it. Select the text and copy it by hand.", "bad");
    }
  }

  async save() {
    tell(this.note, "Loading …");
    const bytes = await this.load();
    // Of no type that a browser would open: a stranger's page must not become one of ours by way of a link to a blob.
    const url = URL.createObjectURL(bytes.slice(0, bytes.size, "application/octet-stream"));
    const name = fileName(this.job.result);
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    tell(this.note, `Saved as ${name}.`, "good");
  }

  showFailure() {
    const { error } = this.job;
    const { what, text } = failureOf(this.job);
    const once = () => during(again, this.note, () => resubmit(this.job));
    const again = button("Retry this job", once, "push");
    this.element.append(
      make("div", { className: "line" }, make("h3", {}, what), ...(isRepeatable(this.job) ? [again] : [])),
      this.note,
      make("p", {}, text),
      ...words(error),
      facts(this.job),
    );
  }
}

/** What the site said in its own words: shown as text, whatever it is. */
function words({ excerpt }) {
  if (!excerpt) return [];
  return [
    make("p", { className: "soft small" }, "What the site says of it, as it came:"),
    viewer("pre", "words", "What the site says", excerpt),
  ];
}

/** What is known of a job, as a list. */
function facts(job) {
  const list = make("dl", { className: "facts" });
  for (const { name, value, time, wide } of factsOf(job)) {
    const shown = time ? make("time", { dateTime: time }, value) : value;
    const [item, mono] = wide ? ["wide", "mono"] : ["", ""];
    list.append(make("div", { className: item }, make("dt", {}, name), make("dd", { className: mono }, shown)));
  }
  return list;
}

/** Something that scrolls; it takes the focus so that the keyboard can scroll it. */
function viewer(tag, className, label, ...children) {
  const made = make(tag, { className: `viewer ${className}`, tabIndex: 0 }, ...children);
  made.setAttribute("role", "region");
  made.setAttribute("aria-label", label);
  return made;
}

async function readResult(job) {
  const { text } = await call("GET", `/batches/${job.batch_id}/results?cursor=${numberOf(job)}`);
  const { link } = resultIn(text, job);
  let response, bytes;
  try {
    response = await fetch(link, { credentials: "omit", cache: "no-store" });
    bytes = await response.blob();
  } catch {
    throw unreachable("The store of results", navigator.onLine);
  }
  if (!response.ok) throw new Problem(`The stored result cannot be read: the store answered ${response.status}.`);
  return bytes;
}

// --- JSON as a tree ---

/** A member of the tree; its own members are made when it is opened, and `deep` levels at once. */
function tree(key, value, deep) {
  const name = key === null ? [] : [make("span", { className: "key" }, key), ": "];
  if (!isBranch(value)) return make("div", {}, ...name, leaf(value));
  const members = membersOf(value);
  if (!members.length) return make("div", {}, ...name, folded(value));
  const inside = make("div", { className: "members" });
  const branch = make(
    "details",
    {},
    make("summary", {}, ...name, make("span", { className: "count" }, folded(value))),
    inside,
  );
  const fill = () => inside.children.length || addMembers(inside, members, 0, deep - 1);
  branch.addEventListener("toggle", () => branch.open && fill());
  if (deep > 0) {
    branch.open = true;
    fill();
  }
  return branch;
}

function addMembers(inside, members, from, deep) {
  const until = from + SHOWN_MEMBERS;
  inside.append(...members.slice(from, until).map(([key, value]) => tree(key, value, deep)));
  if (members.length <= until) return;
  const more = button(`Show more: ${number(until)} of ${number(members.length)} are here`, () => {
    more.remove();
    addMembers(inside, members, until, 0);
  });
  inside.append(more);
}

function leaf(value) {
  const [className, text] = leafOf(value);
  return make("span", { className }, text);
}

// --- The beginning ---

$("openapi").href = `${PREFIX}/openapi.json`;
keepToken(session().getItem(TOKEN));
showCount();
readList();
route();
