// Runs in progress: a card for each, with its map, its pacing and what it finds.

import { by, cell, element, figure, redraw, row, setText, table } from "./dom.js";
import { protectRow } from "./findings.js";
import { rulesOf } from "./rules.js";
import { slotMap } from "./slotmap.js";
import { count, known, millis, NONE, span, time, wholePercent } from "./text.js";

const PHASES = {
  planned: "Planned",
  scanning: "Scanning",
  reaping: "Handling stale keys",
  reporting: "Writing the result",
};
const FIGURES = {
  state: "Phase",
  listed: "Keys listed",
  stale: "Stale so far",
  deleted: "Deleted so far",
  left: "Time left",
};
/** The cards by run. */
const cards = new Map();
/** The rate is that of the last minute, once keys arrive for a few seconds. */
const RATE_OVER_MS = 60_000;
const RATE_AFTER_MS = 3_000;
const SILENT_AFTER_MS = 60_000;

/** The time until all keys are listed, in words, by the rate so far. `samples` has what was listed before, and takes `run`. */
export function timeLeft(samples, run, now) {
  if (!known(run.listedKeys) || !known(run.keys) || (run.state && run.state !== "scanning")) return NONE;
  const last = samples.at(-1);
  if (!last || last.keys !== run.listedKeys) samples.push({ at: now, keys: run.listedKeys });
  while (samples.length > 2 && now - samples[0].at > RATE_OVER_MS) samples.shift();
  const first = samples[0];
  const read = run.listedKeys - first.keys;
  if (now - first.at < RATE_AFTER_MS || read <= 0) return NONE;
  return `about ${span(((run.keys - run.listedKeys) * (now - first.at)) / read / 1000)} to scan`;
}

function head(run, cancel) {
  const line = element("div", "", { class: "row" });
  const title = element("h3", run.job);
  if (run.dryRun) title.append(" ", element("span", "dry run", { class: "badge" }));
  line.append(title);
  if (document.body.dataset.role === "act") {
    const stop = element("button", "Stop…", { type: "button", class: "danger" });
    stop.addEventListener("click", () => cancel(run));
    line.append(stop);
  }
  return line;
}

function makeCard(run, cancel) {
  const box = element("article", "", { class: "card", "aria-label": `Run of ${run.job}` });
  const about = element("p", "Started ", { class: "source" });
  about.append(time(run.startedAt), ` by ${run.startedBy}. Run ${run.runId}.`);
  const bar = element("progress", "", { "aria-label": "Keys listed", max: "1" });
  const list = element("dl", "", { class: "figures" });
  const values = {};
  for (const [name, label] of Object.entries(FIGURES)) {
    const pair = figure(label, NONE);
    values[name] = pair.querySelector("dd");
    list.append(pair);
  }
  const silent = element("p", "", { class: "notice warn", hidden: "" });
  const elsewhere = element("p", "Another process drives this run: where it is, and how it is paced, is not known here.", { class: "hint", hidden: "" });
  const detail = element("div", "", { class: "detail", hidden: "" });
  const map = slotMap();
  const rules = element("div", "", { class: "part" });
  const pacing = element("div", "", { class: "part" });
  const found = element("div", "", { class: "part" });
  detail.append(map.box, rules, pacing, found);
  box.append(head(run, cancel), about, bar, list, silent, elsewhere, detail);
  return { box, bar, values, silent, elsewhere, detail, map, rules, pacing, found, samples: [] };
}

function pacedRow(budget, node) {
  const limit = known(node.probeMsBefore) && known(budget) ? node.probeMsBefore + budget : null;
  const late = known(limit) && known(node.probeMsP99) && node.probeMsP99 > limit;
  const p99 = cell(millis(node.probeMsP99), "n");
  if (late) p99.append(" ", element("span", "over", { class: "status warn" }));
  return row([
    cell(node.address, "", "th"),
    p99,
    cell(millis(limit), "n"),
    cell(known(node.dutyCycle) ? wholePercent(node.dutyCycle) : NONE, "n"),
    cell(wholePercent(node.lowestDutyCycle), "n"),
    cell(`${count(node.lateProbes)} of ${count(node.probes)}`, "n"),
    cell(count(node.slowdowns), "n"),
  ]);
}

function pacingOf({ pacing, latencyBudgetMs, paced }) {
  const shown = [element("h4", "What it costs others"), element("p", `${pacing[0].toUpperCase()}${pacing.slice(1)}.`)];
  if (!paced.length) return shown;
  const columns = ["Node", "#Probe p99", "#Limit", "#Duty cycle now", "#Lowest", "#Late probes", "#Slowed down"];
  shown.push(table("Nodes by how much of the budget they use, the worst first", columns, paced.map((node) => pacedRow(latencyBudgetMs, node))));
  shown.push(element("p", "The limit is the latency before the run plus the budget. The duty cycle is the share of the node's time that the run may use.", { class: "hint" }));
  return shown;
}

function foundOf(job, prefixes) {
  if (!prefixes.length) return [];
  const rows = prefixes.map((prefix) => protectRow(job, prefix));
  return [
    element("h4", "What it finds"),
    table("The most frequent prefixes of stale keys so far", ["Prefix", "#Stale keys", "Protect it"], rows),
  ];
}

function showDetail(card, detail, job) {
  card.detail.hidden = !detail;
  if (!detail) return;
  card.map.fill(detail.map);
  redraw(card.rules, detail.rules, rulesOf);
  redraw(card.pacing, [detail.pacing, detail.latencyBudgetMs, detail.paced], () => pacingOf(detail));
  // What someone reads is not moved away.
  if (!card.found.querySelector("details[open]")) redraw(card.found, detail.prefixes, (prefixes) => foundOf(job, prefixes));
}

/** The part of its keys that a run has listed, from 0 to 1; null if it is not known. */
export const shareListed = ({ listedKeys, keys }) => (known(listedKeys) && keys > 0 ? Math.min(1, listedKeys / keys) : null);

function updateCard(card, run) {
  const share = shareListed(run);
  if (share === null) card.bar.removeAttribute("value");
  else card.bar.value = share;
  const of = known(run.keys) ? ` of ${count(run.keys)}` : "";
  const listed = share === null ? "" : ` (${wholePercent(share, Math.floor)})`;
  setText(card.values.state, PHASES[run.state] ?? NONE);
  setText(card.values.listed, `${count(run.listedKeys)}${of}${listed}`);
  setText(card.values.stale, count(run.staleSoFar));
  setText(card.values.deleted, count(run.deletedSoFar));
  setText(card.values.left, timeLeft(card.samples, run, Date.now()));
  const silence = run.asOf ? Date.now() - Date.parse(run.asOf) : 0;
  card.silent.hidden = silence < SILENT_AFTER_MS;
  setText(card.silent, card.silent.hidden ? "" : `Its process has said nothing for ${span(silence / 1000)}.`);
}

/** Shows the runs in progress of a page; `cancel` stops one. */
export function showRunning({ running, details, jobs, workers }, cancel) {
  const ids = new Set(running.map((run) => run.runId));
  for (const [id, card] of cards) {
    if (ids.has(id)) continue;
    card.box.remove();
    cards.delete(id);
  }
  for (const run of running) {
    let card = cards.get(run.runId);
    if (!card) {
      card = makeCard(run, cancel);
      cards.set(run.runId, card);
      by("running").append(card.box);
    }
    updateCard(card, run);
    card.elsewhere.hidden = !workers || Boolean(run.state);
    showDetail(card, details[run.runId], jobs.find((job) => job.job === run.job));
  }
  const names = running.map((run) => `${run.job}${run.dryRun ? " (dry run)" : ""}`);
  setText(by("state"), names.length === 0 ? "No run is in progress." : `In progress: ${names.join(", ")}.`);
}
