// The page of the service. Values reach the page as text only (`textContent`); nothing is parsed as HTML.
"use strict";

const by = (id) => document.getElementById(id);

/** A new element with text and attributes. */
function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Sets a text only if it differs, so that nothing is announced or selected twice. */
function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// ---- Requests

/** Asks the service; throws an `Error` with its reason. */
async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Error("the service does not answer");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  if (answer.status === 401 && document.body.dataset.role) location.reload();
  throw new Error(body.error ?? `the service answered with status ${answer.status}`);
}

const post = (path, body) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Keysweep": "page" },
    body: JSON.stringify(body),
  });

/** Shows what a form has to say, or an error. */
function say(id, text, bad = false) {
  const place = by(id);
  place.className = bad ? "said bad" : "said";
  place.textContent = text && text[0].toUpperCase() + text.slice(1);
}

// ---- Values as text

const number = new Intl.NumberFormat("en");
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const NONE = "–";
const known = (value) => value !== null && value !== undefined;
const count = (value) => (known(value) ? number.format(value) : NONE);
const percent = (value) => (known(value) ? `${value.toFixed(1)} %` : NONE);

function span(seconds) {
  const whole = Math.round(seconds);
  if (!Number.isFinite(whole) || whole < 0) return NONE;
  if (whole < 60) return `${whole} s`;
  const [size, unit, part, rest] =
    whole < 3600 ? [60, "min", 1, "s"] : whole < 86400 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"];
  const small = Math.floor((whole % size) / part);
  return `${Math.floor(whole / size)} ${unit}${small ? ` ${small} ${rest}` : ""}`;
}

function time(text) {
  const at = new Date(text);
  return element("time", Number.isNaN(at.getTime()) ? text : moment.format(at), { datetime: text, title: text });
}

const took = (run) =>
  run.finishedAt ? span((Date.parse(run.finishedAt) - Date.parse(run.startedAt)) / 1000) : NONE;

// ---- Tables

/** A cell with a text or an element; `name` is a class. */
function cell(content, name = "", kind = "td") {
  const made = element(kind);
  if (kind === "th") made.setAttribute("scope", "row");
  if (name) made.className = name;
  made.append(content);
  return made;
}

function row(cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

/** Redraws a place when its data has changed, and only then: focus and selection stay. */
const drawn = new Map();
function redraw(id, data, draw) {
  const text = JSON.stringify(data);
  if (drawn.get(id) === text) return;
  drawn.set(id, text);
  by(id).replaceChildren(...draw(data));
}

// ---- Runs in progress

const PHASES = {
  planned: "Planned",
  scanning: "Scanning",
  reaping: "Handling stale keys",
  reporting: "Writing the result",
};
/** What was seen of each run in progress: its card, and samples of its progress. */
const cards = new Map();
/** The rate is that of the last minute, once keys arrive for a few seconds. */
const RATE_OVER_MS = 60_000;
const RATE_AFTER_MS = 3_000;
const SILENT_AFTER_MS = 60_000;

function timeLeft(card, run) {
  if (!known(run.listedKeys) || !known(run.keys) || (run.state && run.state !== "scanning")) return NONE;
  const now = Date.now();
  const last = card.samples.at(-1);
  if (!last || last.keys !== run.listedKeys) card.samples.push({ at: now, keys: run.listedKeys });
  while (card.samples.length > 2 && now - card.samples[0].at > RATE_OVER_MS) card.samples.shift();
  const first = card.samples[0];
  const read = run.listedKeys - first.keys;
  if (now - first.at < RATE_AFTER_MS || read <= 0) return NONE;
  return `about ${span(((run.keys - run.listedKeys) * (now - first.at)) / read / 1000)} to scan`;
}

function makeCard(run) {
  const box = element("article", "", { class: "card", "aria-label": `Run of ${run.job}` });
  const head = element("div", "", { class: "row" });
  const title = element("h3", run.job);
  if (run.dryRun) title.append(" ", element("span", "dry run", { class: "badge" }));
  head.append(title);
  if (document.body.dataset.role === "act") {
    const stop = element("button", "Stop…", { type: "button", class: "danger" });
    stop.addEventListener("click", () => cancel(run));
    head.append(stop);
  }
  const about = element("p", "Started ", { class: "source" });
  about.append(time(run.startedAt), ` by ${run.startedBy}. Run ${run.runId}.`);
  const bar = element("progress", "", { "aria-label": "Keys listed", max: "1" });
  const figures = element("dl", "", { class: "figures" });
  const values = {};
  for (const [name, label] of [
    ["state", "Phase"],
    ["listed", "Keys listed"],
    ["stale", "Stale so far"],
    ["deleted", "Deleted so far"],
    ["left", "Time left"],
  ]) {
    const pair = element("div");
    values[name] = element("dd", NONE);
    pair.append(element("dt", label), values[name]);
    figures.append(pair);
  }
  const silent = element("p", "", { class: "notice warn", hidden: "" });
  box.append(head, about, bar, figures, silent);
  return { box, bar, values, silent, samples: [] };
}

function updateCard(card, run) {
  const share = known(run.listedKeys) && run.keys > 0 ? Math.min(1, run.listedKeys / run.keys) : null;
  if (share === null) card.bar.removeAttribute("value");
  else card.bar.value = share;
  const of = known(run.keys) ? ` of ${count(run.keys)}` : "";
  const listed = share === null ? "" : ` (${Math.floor(share * 100)} %)`;
  setText(card.values.state, PHASES[run.state] ?? NONE);
  setText(card.values.listed, `${count(run.listedKeys)}${of}${listed}`);
  setText(card.values.stale, count(run.staleSoFar));
  setText(card.values.deleted, count(run.deletedSoFar));
  setText(card.values.left, timeLeft(card, run));
  const silence = run.asOf ? Date.now() - Date.parse(run.asOf) : 0;
  card.silent.hidden = silence < SILENT_AFTER_MS;
  setText(card.silent, card.silent.hidden ? "" : `Its process has said nothing for ${span(silence / 1000)}.`);
}

function showRunning(running) {
  const ids = new Set(running.map((run) => run.runId));
  for (const [id, card] of cards) {
    if (ids.has(id)) continue;
    card.box.remove();
    cards.delete(id);
  }
  for (const run of running) {
    let card = cards.get(run.runId);
    if (!card) {
      card = makeCard(run);
      cards.set(run.runId, card);
      by("running").append(card.box);
    }
    updateCard(card, run);
  }
  const jobs = running.map((run) => `${run.job}${run.dryRun ? " (dry run)" : ""}`);
  const state = jobs.length === 0 ? "No run is in progress." : `In progress: ${jobs.join(", ")}.`;
  setText(by("state"), state);
}

// ---- The other parts of a snapshot

function runRow(run) {
  const status = element("span", run.status ?? "in progress", { class: `status ${STATUS[run.status] ?? ""}` });
  const state = cell(status);
  if (run.dryRun) state.append(" ", element("span", "dry run", { class: "badge" }));
  if (run.cause) state.append(element("div", run.cause, { class: "hint" }));
  const report = cell("");
  if (run.status) {
    const link = element("a", "Report", { href: `api/runs/${encodeURIComponent(run.runId)}/report` });
    link.append(element("span", ` of the run of ${run.startedAt}`, { class: "unseen" }));
    report.append(link);
  }
  return row([
    cell(time(run.startedAt), "", "th"),
    state,
    cell(count(run.staleTTLKeys), "n"),
    cell(count(run.cleanedKeys), "n"),
    cell(took(run), "n"),
    cell(run.job),
    cell(run.startedBy),
    report,
  ]);
}
const STATUS = { completed: "good", partial: "warn", cancelled: "warn", failed: "bad" };

function jobRow(job) {
  const next = job.nextDue ? time(job.nextDue) : "never";
  return row([cell(job.job, "", "th"), cell(job.redis), cell(job.schedule), cell(next)]);
}

function alertCard(alert) {
  const box = element("div", "", { class: `alert ${alert.severity}` });
  const head = element("p");
  head.append(element("strong", `${alert.severity}: ${alert.message}`));
  const about = element("p", `${alert.alert} of ${alert.job}, since `, { class: "source" });
  about.append(time(alert.since));
  box.append(head, about);
  return box;
}

let jobs = [];

function show(snapshot) {
  jobs = snapshot.jobs;
  by("problem").hidden = !snapshot.problem;
  setText(by("problem"), snapshot.problem ? `This may be out of date: ${snapshot.problem}` : "");
  showRunning(snapshot.running);
  for (const id of ["start-job", "cache-job"]) {
    const names = snapshot.jobs.map((job) => job.job);
    if (by(id)) redraw(id, names, (all) => all.map((name) => element("option", name)));
  }
  redraw("schedule", snapshot.jobs, (all) => all.map(jobRow));
  redraw("alerts", snapshot.alerts, (all) =>
    all.length ? all.map(alertCard) : [element("p", "No alert is firing.")]
  );
  redraw("runs", snapshot.runs, (all) => all.map(runRow));
  by("no-runs").hidden = snapshot.runs.length > 0;
}

// ---- Live data

const AGAIN_MS = 5_000;

function connect() {
  const source = new EventSource("api/live");
  const freshness = by("freshness");
  source.addEventListener("snapshot", (event) => {
    setText(freshness, "Live: this page follows the service.");
    show(JSON.parse(event.data));
  });
  source.addEventListener("error", async () => {
    setText(freshness, "The connection is lost, and this may be old. Trying again.");
    // The browser itself tries again after a lost connection, but not after a refusal.
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    try {
      // Whether the session has ended.
      await ask("api/runs?limit=1");
      setText(freshness, "The service does not send live data at the moment. Trying again.");
    } catch {
      // The same, later.
    }
    setTimeout(connect, AGAIN_MS);
  });
}

// ---- What a person does

/** Asks for confirmation; resolves to whether it is given. */
function confirmed(title, text, yes) {
  const dialog = by("ask");
  setText(by("ask-title"), title);
  setText(by("ask-text"), text);
  setText(by("ask-yes"), yes);
  return new Promise((resolve) => {
    const end = (answer) => () => {
      resolve(answer);
      dialog.close();
    };
    by("ask-yes").onclick = end(true);
    by("ask-no").onclick = end(false);
    dialog.onclose = () => resolve(false);
    dialog.showModal();
    by("ask-no").focus();
  });
}

async function cancel(run) {
  const text = `The run of ${run.job} stops at a safe point. What it has deleted stays deleted; the result names what is left.`;
  if (!(await confirmed("Stop this run?", text, "Stop the run"))) return;
  try {
    await post(`api/runs/${encodeURIComponent(run.runId)}/cancel`, { cause: "stopped on the page" });
  } catch (error) {
    by("problem").hidden = false;
    setText(by("problem"), `The run was not stopped: ${error.message}`);
  }
}

const ACTIONS = {
  delete: "deletes keys without a TTL that match the patterns of the job",
  expire: "gives a TTL to keys without one that match the patterns of the job",
  report: "counts keys and changes nothing, because its action is `report`",
};

async function start(form) {
  const name = form.get("job");
  const isDry = form.get("kind") !== "real";
  if (!isDry) {
    const job = jobs.find((job) => job.job === name);
    const does = job?.dryRun ? "counts keys and changes nothing, as it is configured" : ACTIONS[job?.action];
    const text = `The run ${does ?? "does what the job is configured to do"}. It keeps to the guards of the job.`;
    if (!(await confirmed(`Start a run of ${name}?`, text, "Start the run"))) return;
  }
  say("start-said", "The run is being planned…");
  const request = { job: name, startedBy: "the page" };
  if (isDry) request.dryRun = true;
  const begun = await post("api/runs", request);
  say("start-said", `Run ${begun.runId} has ${begun.left ? "gone on" : "begun"}.`);
}

/** Calls `work` with the fields of a form when it is sent, once at a time; errors are shown at `said`. */
function onSubmit(id, said, work) {
  by(id)?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = by(id).querySelector("button");
    button.disabled = true;
    say(said, "");
    try {
      await work(new FormData(by(id)));
    } catch (error) {
      say(said, error.message, true);
    } finally {
      button.disabled = false;
    }
  });
}

async function logIn(form) {
  await post("login", { token: form.get("token") });
  location.reload();
}

// ---- The cache

function figure(label, value, about = "") {
  const pair = element("div");
  pair.append(element("dt", label), element("dd", value));
  if (about) pair.append(element("dd", about, { class: "hint" }));
  return pair;
}

function cacheFigures({ cacheHealth: cache, redisHealth: redis, lastDay: day, lastWeek: week }) {
  const figures = element("dl", "", { class: "figures" });
  figures.append(
    figure("Matching keys", `${known(cache.totalKeys) && cache.approximate ? "about " : ""}${count(cache.totalKeys)}`),
    figure("Mean TTL", known(cache.avgTTL) ? span(cache.avgTTL) : NONE),
    figure("Hit rate, last 24 h", percent(day?.hitRate)),
    figure("Hit rate, last 7 days", percent(week.hitRate)),
    figure("Growth, last 7 days", percent(week.growthPercent)),
    figure("Deleted, last 7 days", count(week.cleanedKeys)),
    figure("Redis", redis.status),
    figure("Memory, fullest server", percent(redis.memoryUsagePercent))
  );
  const shown = [figures];
  for (const problem of redis.problems) shown.push(element("p", problem, { class: "notice warn" }));
  const from = cache.at ? element("p", "Keys and TTL are those at the end of the run of ", { class: "source" }) : null;
  if (from) {
    from.append(time(cache.at), `. ${NONE}: not known.`);
    shown.push(from);
  }
  return shown;
}

async function readCache() {
  const place = by("cache");
  const job = by("cache-job").value;
  try {
    const statistics = await ask(job ? `api/stats?job=${encodeURIComponent(job)}` : "api/stats");
    place.replaceChildren(...cacheFigures(statistics));
  } catch (error) {
    place.replaceChildren(element("p", `The figures cannot be read: ${error.message}`, { class: "notice bad" }));
  }
}

// ---- The audit trail

function auditRow(found) {
  return row([
    cell(found.key ?? "not shown", "key", "th"),
    cell(found.outcome),
    cell(found.reason),
    cell(found.node),
    cell(String(found.slot), "n"),
    cell(time(found.time)),
    cell(found.runId, "id"),
  ]);
}

async function searchAudit(form) {
  const query = new URLSearchParams();
  for (const [name, value] of form) if (value.trim()) query.set(name, name === "run" ? value.trim() : value);
  const { keys, more } = await ask(`api/audit?${query}`);
  say("audit-said", keys.length ? `${count(keys.length)} keys${more ? ", and there are more" : ""}.` : "No key was found.");
  by("audit").replaceChildren();
  if (!keys.length) return;
  const table = element("table");
  const head = element("thead");
  const names = ["Key", "Outcome", "Reason", "Node", "Slot", "Time", "Run"];
  const heads = names.map((name) => element("th", name, name === "Slot" ? { scope: "col", class: "n" } : { scope: "col" }));
  head.append(row(heads));
  const body = element("tbody");
  body.append(...keys.map(auditRow));
  table.append(element("caption", "Changed keys, those changed last first"), head, body);
  const scroll = element("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Changed keys" });
  scroll.append(table);
  by("audit").append(scroll);
}

// ---- Begin

function begin() {
  onSubmit("login", "login-said", logIn);
  if (!document.body.dataset.role) return;
  for (const id of ["start-section", "logout", "cache-form", "audit-form"]) if (by(id)) by(id).hidden = false;
  onSubmit("start", "start-said", start);
  onSubmit("audit-form", "audit-said", searchAudit);
  by("cache-form").addEventListener("submit", (event) => {
    event.preventDefault();
    readCache();
  });
  by("logout")?.addEventListener("click", async () => {
    await post("logout", {}).catch(() => {});
    location.reload();
  });
  setText(by("cache").firstElementChild, "Reading…");
  readCache();
  connect();
}

begin();
