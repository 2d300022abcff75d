// The parts of the page that list what the service has: schedule, alerts, runs, workers.

import { by, cell, element, redraw, row, setText } from "./dom.js";
import { capital, count, known, span, time, took } from "./text.js";

const STATUS = { completed: "good", partial: "warn", cancelled: "warn", failed: "bad" };

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

/** When a job is due next, and why. */
function nextOf(job) {
  const next = cell("");
  if (job.nextAttempt) {
    const { due, attempt } = job.nextAttempt;
    next.append(time(due));
    next.append(element("div", `Attempt ${attempt.number} of ${attempt.of}, because the one before has failed.`, { class: "hint" }));
    if (!job.nextDue) return next;
    const then = element("div", "Then by the schedule: ", { class: "hint" });
    then.append(time(job.nextDue));
    next.append(then);
    return next;
  }
  next.append(job.nextDue ? time(job.nextDue) : "never");
  if (job.nextDue) next.append(element("div", job.decided ? capital(job.decided) : "By the schedule.", { class: "hint" }));
  return next;
}

function jobRow(job) {
  const schedule = cell(job.schedule);
  const missed = job.catchUp ? "one run makes up for missed times" : "missed times are only reported";
  const cron = element("div", "", { class: "hint" });
  cron.append(element("code", job.cron), job.cron === "auto" ? "" : `; ${missed}`);
  schedule.append(cron);
  return row([cell(job.job, "", "th"), cell(job.redis), schedule, nextOf(job)]);
}

function alertCard(alert) {
  const box = element("div", "", { class: `alert ${alert.severity}` });
  const head = element("p");
  head.append(element("strong", `${capital(alert.severity)}: ${alert.message}`));
  const about = element("p", `${alert.alert} of ${alert.job}, since `, { class: "source" });
  about.append(time(alert.since));
  box.append(head, about);
  return box;
}

function resolvedRow(alert) {
  const lasted = (Date.parse(alert.resolvedAt) - Date.parse(alert.since)) / 1000;
  return row([
    cell(alert.alert, "", "th"),
    cell(alert.job),
    cell(time(alert.since)),
    cell(time(alert.resolvedAt)),
    cell(span(lasted), "n"),
    cell(alert.message),
  ]);
}

function workerRow(worker) {
  return row([
    cell(capital(worker.role), "", "th"),
    cell(worker.host),
    cell(String(worker.process), "n"),
    cell(count(worker.inHand), "n"),
    cell(time(worker.lastSeen)),
  ]);
}

const QUEUES = { tasks: "Scan tasks", batches: "Batches of candidates" };
const queueRow = (queue) =>
  row([
    cell(QUEUES[queue.queue] ?? queue.queue, "", "th"),
    cell(count(queue.waiting), "n"),
    cell(count(queue.inHand), "n"),
    cell(count(queue.redelivered), "n"),
  ]);

function showWorkers(workers) {
  const distributed = known(workers);
  by("workers-here").hidden = distributed;
  by("workers-nats").hidden = !distributed;
  if (!distributed) return;
  redraw(by("queues"), workers.queues, (all) => all.map(queueRow));
  redraw(by("workers"), workers.workers, (all) => all.map(workerRow));
  const text = workers.workers.length ? "" : "No worker has said in the last ten minutes that it works.";
  setText(by("no-workers"), text);
}

/** Shows the lists of a page. */
export function showLists(page) {
  redraw(by("schedule"), page.jobs, (all) => all.map(jobRow));
  redraw(by("alerts"), page.alerts, (all) => (all.length ? all.map(alertCard) : [element("p", "No alert is firing.")]));
  by("resolved-part").hidden = page.resolved.length === 0;
  redraw(by("resolved"), page.resolved, (all) => all.map(resolvedRow));
  redraw(by("runs"), page.runs, (all) => all.map(runRow));
  by("no-runs").hidden = page.runs.length > 0;
  showWorkers(page.workers);
}

