// The cache of a job: its figures, charts over time, and what the last run found. Read when the page is opened, on request,
// and when a run has ended.

import { barChart, endCharts, lineChart } from "./charts.js";
import { by, element, figure, figures, notice, table } from "./dom.js";
import { protectRow } from "./findings.js";
import { ask, lastOnly } from "./service.js";
import { brief, BYTE_STEPS, bytes, count, extremes, known, momentText, NONE, percent, span, time } from "./text.js";
import { ttlParts } from "./ttls.js";

let jobs = [];
let ended = null;

function cacheFigures({ cacheHealth: health, redisHealth: redis, lastDay: day, lastWeek: week }) {
  const approximate = known(health.totalKeys) && health.approximate ? "about\u00a0" : "";
  const shown = [
    figures([
      figure("Matching keys", `${approximate}${count(health.totalKeys)}`),
      figure("Mean TTL", known(health.avgTTL) ? span(health.avgTTL) : NONE),
      figure("Hit rate, last 24\u00a0h", percent(day?.hitRate)),
      figure("Hit rate, last 7 days", percent(week.hitRate)),
      figure("Growth, last 7 days", percent(week.growthPercent)),
      figure("Deleted, last 7 days", count(week.cleanedKeys)),
      figure("Redis", redis.status),
      figure("Memory, fullest server", percent(redis.memoryUsagePercent)),
    ]),
  ];
  for (const problem of redis.problems) shown.push(notice(problem));
  if (health.at) {
    const from = element("p", "Keys and TTL are those at the end of the run of ", { class: "source" });
    from.append(time(health.at), `. ${NONE}: not known.`);
    shown.push(from);
  }
  return shown;
}

const moments = (points) => points.map((point) => Date.parse(point.at));

function hitRateChart(points, includes) {
  const values = points.map((point) => point.hitRate);
  if (values.filter(known).length < 2) return null;
  const about = includes ? ` It may include ${includes}.` : "";
  return lineChart({
    title: "Hit rate, last 7 days",
    description: `${extremes(values, percent)}, in ${points.length} windows between samples.${about}`,
    times: moments(points),
    lines: [{ label: "Hit rate", values, format: percent }],
    scale: { format: percent },
    timeText: momentText,
    fromZero: false,
  });
}

function memoryChart(points) {
  const values = points.map((point) => point.usedBytes);
  if (values.filter(known).length < 2) return null;
  const limit = points.map((point) => point.usagePercent).filter(known).at(-1);
  const fullest = known(limit) ? ` The fullest server uses ${percent(limit)} of its limit.` : " No server has a limit.";
  return lineChart({
    title: "Memory of all primaries",
    description: `${extremes(values, bytes)}, in ${points.length} samples.${fullest}`,
    times: moments(points),
    lines: [{ label: "Memory", values, format: bytes }],
    scale: { format: bytes, steps: BYTE_STEPS },
    timeText: momentText,
  });
}

function growthChart(runs) {
  if (runs.length < 2) return null;
  const [left, stale] = [runs.map((run) => run.totalKeys), runs.map((run) => run.staleTTLKeys)];
  return lineChart({
    title: "Keys by run",
    description: `Matching keys that runs left: ${extremes(left, count).toLowerCase()}. Keys without TTL that they found: ${extremes(stale, count).toLowerCase()}. In ${runs.length} runs.`,
    times: moments(runs),
    lines: [
      { label: "Keys left", values: left, format: count },
      { label: "Without TTL", values: stale, format: count },
    ],
    scale: { format: brief },
    timeText: momentText,
  });
}

function ttlChart({ ttl, at }) {
  const buckets = ttl.histogram;
  if (!ttl.keys || !buckets.length) return null;
  const names = buckets.map((bucket) => (known(bucket.upTo) ? `≤ ${span(bucket.upTo)}` : `> ${span(bucket.above)}`));
  const middle = known(ttl.p50) ? ` Half of them have ${span(ttl.p50)} or less, 99 % have ${span(ttl.p99)} or less.` : "";
  return barChart({
    title: "Remaining TTL",
    description: `${count(ttl.keys)} keys with a TTL, by the run that ended ${momentText(new Date(at))}.${middle}`,
    names,
    values: buckets.map((bucket) => bucket.keys),
    format: count,
    scale: { format: brief },
    label: "Keys",
  });
}

function findings(job, last) {
  if (!last.prefixes.rows.length) return [];
  const about = element("p", "By the run that ended ", { class: "hint" });
  about.append(time(last.at), ".");
  const rows = last.prefixes.rows.map((prefix) => protectRow(job, prefix));
  return [
    element("h3", "Prefixes of keys without TTL"),
    about,
    table("The most frequent prefixes of stale keys", ["Prefix", "#Stale keys", "Protect it"], rows),
  ];
}

function seriesParts(series) {
  const charts = [
    hitRateChart(series.hitRates, series.hitRateIncludes),
    memoryChart(series.memory),
    growthChart(series.runs),
    series.last && ttlChart(series.last),
  ].filter(Boolean);
  const grid = element("div", "", { class: "charts" });
  grid.append(...charts);
  const parts = charts.length ? [grid] : [element("p", "There is too little to draw: charts need two samples or two runs.", { class: "hint" })];
  const job = jobs.find((job) => job.job === series.job);
  return series.last ? [...parts, ...findings(job, series.last)] : parts;
}

/** Another job may be chosen before the figures of the one before have arrived. */
const begin = lastOnly();

async function read() {
  const isLast = begin();
  const place = by("cache");
  const job = by("cache-job").value;
  const of = job ? `?job=${encodeURIComponent(job)}` : "";
  try {
    const [statistics, series, ttls] = await Promise.all(
      ["stats", "series", "ttl-advice"].map((part) => ask(`api/${part}${of}`))
    );
    if (!isLast()) return;
    endCharts();
    place.replaceChildren(...cacheFigures(statistics), ...seriesParts(series), ...ttlParts(ttls));
  } catch (error) {
    if (isLast()) place.replaceChildren(notice(`The figures cannot be read: ${error.message}`, "bad"));
  }
}

export const cache = {
  begin() {
    by("cache-form").addEventListener("submit", (event) => {
      event.preventDefault();
      read();
    });
    by("cache-job").addEventListener("change", read);
    by("cache").firstElementChild.textContent = "Reading…";
  },

  /** Takes a state of the page, and reads again when another run has ended. */
  take(page) {
    jobs = page.jobs;
    const last = page.runs.find((run) => run.status)?.runId ?? "";
    if (last === ended) return;
    ended = last;
    read();
  },
};
