// What the page decides and says, without the document: no element, no request, no storage. page.js does what is left.

export const BATCH_ID = /^[0-9a-f]{32}$/;
export const STATUSES = ["queued", "running", "succeeded", "failed"];
export const SHOWN_CHARACTERS = 200_000; // of a text, before somebody asks for the rest
export const SHOWN_MEMBERS = 200; // of an array or object

const URLS_A_BATCH = 1000;
const BODY_BYTES = 1_000_000; // of a submission; the API takes 1 MiB
const FILE_BYTES = 20 * 1024 * 1024;
const SHOWN_BYTES = { json: 5 * 1024 * 1024, text: 5 * 1024 * 1024, image: 25 * 1024 * 1024 };
const ROWS_A_PAGE = 100; // as the API has it
const TRIES = 5; // of a submission, before a person is asked
const LONGEST_WAIT = 60; // seconds; for more we do not wait in silence

// --- Words and numbers ---

export const number = (value) => value.toLocaleString();
export const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const sentence = (text) => (/[.!?]$/.test(text) ? capital(text) : `${capital(text)}.`);

export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  return `${(bytes / 1024 ** step).toLocaleString(undefined, { maximumFractionDigits: step ? 1 : 0 })} ${units[step]}`;
}

export function duration(ms) {
  if (ms < 1000) return `${ms} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toLocaleString(undefined, { maximumFractionDigits: seconds < 10 ? 1 : 0 })} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** A time as people say it; today's has seconds, another day's the day. */
export function moment(text, now = Date.now()) {
  const time = new Date(text);
  const today = time.toDateString() === new Date(now).toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const more = today ? { second: "2-digit" } : { day: "numeric", month: "short" };
  return time.toLocaleString(undefined, { ...more, hour: "numeric", minute: "2-digit" });
}

export function inAWhile(seconds, now = Date.now()) {
  if (seconds <= 90) return `in ${seconds} s`;
  return `in ${duration(seconds * 1000)}, at ${moment(now + seconds * 1000, now)}`;
}

// --- What can go wrong ---

/** What went wrong, in words for people. Status 0: there was no answer. */
export class Problem extends Error {
  constructor(message, { status = 0, name = "", wait = null, errors = [] } = {}) {
    super(message);
    this.status = status;
    this.name = name;
    this.wait = wait;
    this.errors = errors;
  }

  get whole() {
    return this.message + (this.wait ? ` Try again ${inAWhile(this.wait)}.` : "");
  }
}

export function unreachable(who, online) {
  if (!online) return new Problem("This device is offline.");
  return new Problem(`${who} does not answer. It may be restarting, or the connection may be down.`);
}

/** The JSON of an answer. A login page in between may have answered in the API's place. */
export function parsed({ text }) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem("Something else than the service has answered: a proxy, or a page to log in?");
  }
}

/** The API's problem document as a Problem; a gateway in between may have answered something else. */
export function refused(status, text, wait) {
  let problem = {};
  try {
    problem = JSON.parse(text) ?? {};
  } catch {
    // The status says enough.
  }
  const name = String(problem.type ?? "").split("/").pop();
  const details = { status, name, wait, errors: problem.errors ?? [] };
  const said = problem.detail ? sentence(problem.detail) : `The service answered ${status}.`;
  if (status === 401) return new Problem("An access token is needed, and none was given.", details);
  if (name === "quota-exceeded") return new Problem(`The quota is used up. ${said}`, details);
  if (status === 503) return new Problem("The service cannot do this now.", details);
  if (status >= 500) return new Problem(`Something is wrong at the service. ${said}`, details);
  return new Problem(said, details);
}

/** The seconds of a Retry-After; null where there is none. */
export const waitOf = (retryAfter) => Number(retryAfter) || null;

/** Whether a text fits into a header as a token. */
export const isToken = (text) => /^[!-~]+$/.test(text);

// --- The list of batches ---

/** Those that are known and more, each once, newest first: of each what the list shows. */
export function withBatches(known, more) {
  const all = new Map(known.map((batch) => [batch.id, batch]));
  for (const { id, submitted_at, expires_at, submitted, total } of more) {
    all.set(id, { id, submitted_at, expires_at, submitted: submitted ?? all.get(id)?.submitted ?? total });
  }
  const place = ({ submitted_at, id }) => `${submitted_at} ${id}`;
  return [...all.values()].sort((a, b) => (place(a) < place(b) ? 1 : -1));
}

/** The path of a list's next page, under the API's prefix. */
export function listPath(next, base) {
  const { pathname, search } = new URL(next, base);
  return `${pathname.slice(pathname.lastIndexOf("/"))}${search}`;
}

/** A batch in a few words; of one that was just submitted only its size is known. */
export function inShort({ total, counts, finished }) {
  const jobs = many(total, "job");
  if (!counts) return jobs;
  if (!finished) return `${jobs}, running`;
  return `${jobs}, ${counts.failed ? `${number(counts.failed)} failed` : "all succeeded"}`;
}

// --- Submitting ---

export const lines = (text) => text.split(/\r\n|\r|\n/).map((line) => line.trim()).filter(Boolean);

/** The links of a text/uri-list, whose comments begin with #. */
export const linksOf = (list) => list.replace(/^#.*$/gm, "");

/** What stands in the field when a text's lines are added to it. */
export function withLines(field, text) {
  const before = field.trimEnd();
  return `${before}${before && "\n"}${lines(text).join("\n")}\n`;
}

/** Why a file cannot be taken, before it is read or after; "" where it can. */
export function fileTrouble({ name, size: bytes }, text = "") {
  if (bytes > FILE_BYTES) return `${name} is larger than ${size(FILE_BYTES)}.`;
  return text.includes("\0") ? `${name} is not a text file.` : "";
}

/** What is sent with all URLs, from the two fields of the form; or what is wrong with a line of the headers. */
export function optionsOf(headerLines, reference) {
  const headers = {};
  for (const line of lines(headerLines)) {
    const [, name, value] = /^([^:]+):(.*)$/.exec(line)?.map((part) => part.trim()) ?? [];
    if (!name || !value) return { more: {}, trouble: `A header is like "Accept-Language: de". This is not: ${line}` };
    if (Object.keys(headers).some((known) => known.toLowerCase() === name.toLowerCase())) {
      return { more: {}, trouble: `The header ${name} is there twice.` };
    }
    headers[name] = value;
  }
  return {
    more: {
      ...(Object.keys(headers).length && { headers }),
      ...(reference.trim() && { reference: reference.trim() }),
    },
    trouble: "",
  };
}

/** True where all that was submitted for a job is known: the values of headers are not shown again. */
export const isRepeatable = (job) => !job.header_names;

/** What was submitted for a job. */
export const asSubmitted = ({ url, reference }) => (reference ? { url, reference } : url);

/** Cut into parts that the API takes, each with a key that makes its repetition safe. */
export function cut(urls) {
  const parts = [];
  const encoder = new TextEncoder();
  let bytes = Infinity;
  for (const url of urls) {
    const more = encoder.encode(JSON.stringify(url)).length + 1;
    if (bytes + more > BODY_BYTES || parts.at(-1).urls.length === URLS_A_BATCH) {
      parts.push({ urls: [], key: crypto.randomUUID() });
      bytes = 0;
    }
    parts.at(-1).urls.push(url);
    bytes += more;
  }
  return parts;
}

/** What the text in the field comes to. */
export function countOf(text) {
  const urls = lines(text);
  const parts = cut(urls).length;
  return urls.length ? many(urls.length, "URL") + (parts > 1 ? `, ${parts} batches` : "") : "No URL yet";
}

/** What is being sent, of so many parts, of which some are left. */
export function sending(urls, total, left) {
  return `Sending ${total > 1 ? `part ${total - left + 1} of ${total}` : many(urls.length, "URL")} …`;
}

/** What became of URLs that needed more than one batch. */
export function submitted(urls, rejected, total) {
  return `${many(urls.length - rejected.length, "URL")} went into ${many(total, "batch", "batches")}.`;
}

/** How long to wait before the same is sent again, in seconds; null where that is the person's to decide. */
export function pauseBefore(problem, tries, online) {
  if (tries >= TRIES || (problem.status === 0 && !online)) return null;
  if ([0, 502, 504].includes(problem.status)) return 2 ** (tries - 1);
  const passes = [429, 503].includes(problem.status) || problem.name === "in-progress";
  return passes && problem.wait !== null && problem.wait <= LONGEST_WAIT ? problem.wait : null;
}

/** The URLs that a 422 names: it has a pointer for each, where no URL of a part is valid. */
export function rejectedBy(problem, urls) {
  return (problem.errors ?? [])
    .map(({ pointer, detail }) => ({ one: urls[/^\/urls\/(\d+)$/.exec(pointer)?.[1]], detail }))
    .filter(({ one }) => one !== undefined)
    .map(({ one, detail }) => ({ url: one.url ?? one, detail }));
}

// --- Watching a batch ---

export function batchPath(id, cursor, status) {
  const query = new URLSearchParams({ ...(cursor && { cursor }), ...(status && { status }) });
  return `/batches/${id}${query.size ? `?${query}` : ""}`;
}

/** The cursor in a link to the next page, which may be relative to `base`; null where there is no next page. */
export const cursorOf = (next, base) => (next ? Number(new URL(next, base).searchParams.get("cursor")) : null);

/** Why there is no news, what to press, and when to ask again, in seconds: null where somebody must do something first. */
export function troubleOf(problem, failures, online) {
  const passes = problem.status === 0 || problem.status === 429 || problem.status >= 500;
  const offline = problem.status === 0 && !online;
  const wait = passes && !offline ? problem.wait ?? Math.min(LONGEST_WAIT, 2 ** failures) : null;
  const then = offline ? " Watching goes on when it is back." : wait ? ` Looking again ${inAWhile(wait)}.` : "";
  return { text: problem.message + then, action: problem.status === 401 ? "Give a token" : "Look again", wait };
}

/** That so many jobs wait for their host; "" where none does. */
const waitersOf = (
  count,
) => (count ? `; ${number(count)} ${count === 1 ? "waits for its" : "wait for their"} host` : "");

/** How far the telling of a batch's webhook is; "" where it has none. */
function tellingOf(webhook) {
  if (!webhook) return "";
  const { status, tries } = webhook;
  const said = {
    waiting: "its webhook is told at the end",
    pending: `its webhook is being told${tries ? ` (${many(tries, "try", "tries")} so far)` : ""}`,
    delivered: "its webhook was told",
    failed: "its webhook could not be told",
    ended: "its webhook wants no more",
  };
  return `; ${said[status] ?? `its webhook is ${status}`}`;
}

/** How far a batch is: what is shown, and the quarter that it has reached, for what is heard. The end is a fifth one. */
export function progressOf({ counts, total, finished, waiting_for_host: waiting, webhook }) {
  const done = counts.succeeded + counts.failed;
  const outcome = ["succeeded", "failed"].filter((status) => counts[status]).map((status) =>
    `${number(counts[status])} ${status}`
  );
  const said = outcome.join(", ");
  const text = `${number(done)} of ${number(total)} finished${said && `: ${said}`}${waitersOf(waiting)}`;
  return {
    done,
    text: text + tellingOf(webhook),
    title: finished ? "Fetch Queue" : `${done}/${total} · Fetch Queue`,
    quarter: finished ? 5 : Math.floor((4 * done) / Math.max(total, 1)),
    heard: finished ? `The batch is finished: ${said || "no job is left"}.` : text,
  };
}

/** Which of the jobs are shown, on the page that comes after so many others. */
export function rangeOf({ counts, total, jobs }, pages, status) {
  const before = pages * ROWS_A_PAGE;
  return `Jobs ${number(before + 1)} to ${number(before + jobs.length)} of ${number(status ? counts[status] : total)}`;
}

export const noJob = (status) => (status ? `No job is ${status}.` : "Every job of this batch was deleted.");

// --- A job's row ---

/** A job's place in its batch, from 0. */
export const numberOf = (job) => Number(job.id.split("-")[1]);

/** The host of a URL, with its port unless that is its scheme's own. */
const hostOf = (url) => (URL.canParse(url) ? new URL(url).host : url);

/** What a job waits for, and until when; "" where that is not known. */
function waitOfJob({ url, next_attempt_at: until }, now = Date.now()) {
  return until ? `waits for ${hostOf(url)} until ${moment(until, now)}` : "";
}

/** What a job's row says; what is not known yet is "". */
export function cellsOf(job, now = Date.now()) {
  const [, scheme, rest] = /^([a-z]+:\/\/)?(.*)$/is.exec(job.url);
  const ran = job.started_at && job.finished_at;
  return {
    scheme: scheme ?? "",
    rest,
    number: number(numberOf(job) + 1),
    size: job.result ? size(job.result.size) : "",
    time: ran ? duration(Date.parse(job.finished_at) - Date.parse(job.started_at)) : "",
    reuse: job.reused === null ? "" : job.reused ? "reused" : "new",
    reason: job.error ? sentence(job.error.detail) : "",
    wait: waitOfJob(job, now),
  };
}

// --- What a row opens: the result, or why there is none ---

const JSON_TYPE = /^application\/json$|\+json$/;
const IMAGE_TYPES = [
  "image/png",
  "image/jpeg",
  "image/gif",
  "image/webp",
  "image/avif",
  "image/bmp",
  "image/x-icon",
  "image/vnd.microsoft.icon",
];
const MARKUP_TYPE = /^text\/html$|^application\/xhtml\+xml$|^image\/svg\+xml$/;
const TEXT_TYPE =
  /^text\/|\+xml$|^application\/(xml|javascript|ecmascript|x-ndjson|yaml|x-yaml|toml|sql|x-sh|graphql)$/;

/** What an unfinished job waits for. */
export function pendingOf(job, now = Date.now()) {
  const wait = waitOfJob(job, now) || "waits for its first attempt, or for the next one";
  const what = job.status === "running" ? "is being fetched" : wait;
  return `It ${what}. Its result is shown here as soon as it is there.`;
}

export const mediaType = (result) => result.content_type.split(";")[0].trim().toLowerCase();

/** How a result is shown. Markup is text here: a stranger's page must not run as a page of ours. */
export function kindOf(result) {
  const type = mediaType(result);
  const kind = JSON_TYPE.test(type)
    ? "json"
    : IMAGE_TYPES.includes(type)
    ? "image"
    : TEXT_TYPE.test(type)
    ? "text"
    : "other";
  return result.size > SHOWN_BYTES[kind] ? "large" : kind;
}

/** Why a result is not shown as what it is; "" where it is. */
export function aside(result) {
  const kind = kindOf(result);
  if (kind === "large") return "It is too large to be shown here. Save it to read it.";
  if (kind === "other") return `It is ${mediaType(result)}, which is not shown here. Save it to open it.`;
  return MARKUP_TYPE.test(mediaType(result)) ? "Shown as text: what you fetch never runs in this page." : "";
}

/** What an error type means to somebody who has never read the documentation, and what can be done. */
export function explained({ type, http_status: status }) {
  const LATER = "Trying again later may help.";
  const CHECK = "Check the URL; trying again will not help as long as it stays as it is.";
  if (type === "http-status") {
    if (status === 401 || status === 403) {
      return [
        "The site did not let us in",
        "The page may need a login, or refuse programs. Trying again will hardly help.",
      ];
    }
    if (status === 404 || status === 410) return ["The site has no such page", CHECK];
    if (status === 429) return ["The site wants fewer requests", LATER];
    if (status >= 500) return ["The site is in trouble", LATER];
    return ["The site answered, and not with a page", CHECK];
  }
  const known = {
    timeout: ["The site took too long", LATER],
    connection: ["The connection failed", "The site may be down, or may have ended the connection. " + LATER],
    dns: ["The site was not found", "Check how its name is written. " + LATER],
    tls: [
      "The connection is not secure",
      "The site's certificate cannot be trusted, or it speaks no TLS that we know. Its owner must mend that.",
    ],
    blocked: [
      "This address may not be fetched",
      "Only public addresses are fetched, and not those of databases and of mail.",
    ],
    "too-large": ["The answer is too large", "Trying again will not help."],
    "too-many-redirects": ["The site redirects without end", CHECK],
    "invalid-response": ["The site's answer cannot be understood", LATER],
    "host-busy": ["Too many URLs wait for this site", LATER],
    robots: [
      "The site does not want this page to be fetched",
      "Its robots.txt says so. Trying again will not help as long as that stays as it is.",
    ],
    "worker-lost": ["The fetch was lost on our side", "Trying again should help."],
  };
  return known[type] ?? ["The fetch failed", LATER];
}

/** Why a job failed, and what can be done. */
export function failureOf({ error, attempts }) {
  const [what, cure] = explained(error);
  const times = attempts > 1 ? `${attempts} times` : "once";
  const tried = attempts === 0 ? "The site was not asked." : `It was tried ${times}.`;
  return { what, text: `${sentence(error.detail)} ${tried} ${cure}` };
}

/** What is known of a job: names with values, and of a time what it is in the API's notation. */
export function factsOf(job, now = Date.now()) {
  const { result, error } = job;
  const time = (name, text) => ({ name, value: text && moment(text, now), time: text });
  const known = [
    { name: "HTTP status", value: result?.http_status ?? error?.http_status },
    { name: "Content type", value: result?.content_type },
    time("Fetched", result?.fetched_at),
    time("Ended", error && job.finished_at),
    { name: "Attempts", value: job.attempts || null },
    { name: "Reference", value: job.reference ?? null },
    { name: "Headers sent", value: job.header_names?.join(", ") ?? null },
    { name: "Shares its fetch", value: job.reused ? "yes, which another job started" : null },
    time("Kept until", job.expires_at),
    { name: "Came from", value: result && result.final_url !== job.url ? result.final_url : null, wide: true },
    { name: "SHA-256", value: result?.sha256, wide: true },
  ];
  return known.filter(({ value }) => value !== null && value !== undefined);
}

/** A job's own line in its batch's results; throws a Problem where the job is not there any more. */
export function resultIn(text, job) {
  const first = parsed({ text: text.split("\n", 1)[0] || "null" });
  if (first?.id === job.id && first.result) return first.result;
  throw new Problem("This job is gone: it was deleted, or it has expired.", { status: 404 });
}

/** The text that bytes are in the charset of their content type. */
export async function decoded(bytes, contentType) {
  const charset = /;\s*charset="?([\w:.-]+)/i.exec(contentType)?.[1] ?? "utf-8";
  const buffer = await bytes.arrayBuffer();
  try {
    return new TextDecoder(charset).decode(buffer);
  } catch {
    return new TextDecoder().decode(buffer); // a charset that nobody knows
  }
}

/** What a result is saved as: the end of its URL as a plain name, with an ending that fits its type. */
export function fileName(result) {
  const url = new URL(result.final_url);
  let last = url.pathname.split("/").filter(Boolean).pop() ?? url.hostname;
  try {
    last = decodeURIComponent(last);
  } catch {
    // Then as it is written.
  }
  const name = last.replace(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^\.+/, "").slice(-100) || "result";
  if (/\.[a-z0-9]{1,8}$/i.test(name) && name !== url.hostname) return name;
  const type = mediaType(result);
  const endings = {
    "text/plain": "txt",
    "text/html": "html",
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "application/octet-stream": "bin",
  };
  const ending = endings[type] ?? /^[^/]+\/(?:[^+]*\+)?([a-z0-9]{1,8})$/.exec(type)?.[1] ?? "bin";
  return `${name}.${ending}`;
}

// --- JSON as a tree ---

/** A number as it is written: JavaScript would round a long one. */
export class Exact {
  constructor(source) {
    this.source = source;
  }
}

export const exactly = (
  _,
  value,
  context,
) => (typeof value === "number" && context ? new Exact(context.source) : value);

export const isBranch = (value) => value !== null && typeof value === "object" && !(value instanceof Exact);

/** The members of an array or object, each with its key. */
export const membersOf = (value) => Object.entries(value);

/** An array or object that is not open: "[ 3 items ]". */
export function folded(value) {
  const count = membersOf(value).length;
  if (Array.isArray(value)) return count ? `[ ${many(count, "item")} ]` : "[ ]";
  return count ? `{ ${many(count, "member")} }` : "{ }";
}

/** A value that has no members: its type and its text. */
export function leafOf(value) {
  if (value instanceof Exact) return ["number", value.source];
  return [value === null ? "null" : typeof value, JSON.stringify(value)];
}
