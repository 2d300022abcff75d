// What other TTLs would do to a cache: the latest advice of the service, as a curve in the band of its intervals.

import { curveChart } from "./charts.js";
import { cell, element, figure, figures, notice, row } from "./dom.js";
import { bytes, count, known, NONE, percent, span, time } from "./text.js";

const same = (one, other) => known(one) && known(other) && Math.abs(one - other) < 1e-6;
const interval = (of, format) => `${format(of.low)} – ${format(of.high)}`;
const whole = (value) => count(Math.round(value));
const relative = (value) => value.toFixed(2);

/** What is said of a point: that it is the TTL of today, and the recommended one. */
function marks(point, advice) {
  const names = [];
  if (same(point.ttlSeconds, advice.diagnostics.currentTtlSeconds)) names.push("today");
  if (same(point.ttlSeconds, advice.recommended?.ttlSeconds)) names.push("recommended");
  return names.join(", ");
}

function pointRow(point, advice) {
  const { hitRate, misses, keys } = point;
  const name = [span(point.ttlSeconds), marks(point, advice)].filter(Boolean).join(", ");
  return row([
    cell(name, "", "th"),
    cell(percent(hitRate.estimate), "n"),
    cell(interval(hitRate, percent), "n"),
    cell(relative(misses.estimate), "n"),
    cell(interval(misses, relative), "n"),
    cell(whole(keys.estimate), "n"),
    cell(bytes(point.bytes?.estimate), "n"),
  ]);
}

const COLUMNS = ["TTL", "#Hit rate", "#95 %", "#Misses, today 1", "#95 %", "#Keys", "#Memory"];

function curve(advice) {
  const points = advice.curve;
  if (points.length < 2) return null;
  return curveChart({
    title: "Hit rate by TTL",
    description: "What is expected with each TTL; the band is its 95 % interval. Nothing is known of other TTLs.",
    names: points.map((point) => span(point.ttlSeconds)),
    marks: points.map((point) => marks(point, advice)),
    lows: points.map((point) => point.hitRate.low),
    values: points.map((point) => point.hitRate.estimate),
    highs: points.map((point) => point.hitRate.high),
    format: percent,
    label: "Hit rate",
    columns: COLUMNS,
    rows: points.map((point) => pointRow(point, advice)),
  });
}

function sources(of) {
  const followed = of.followedKeys ? `${count(of.followedKeys)} were followed beyond their expiry` : "at one moment";
  const share = (value) => (value ? `${percent(value.estimate)} (${interval(value, percent)})` : NONE);
  return figures([
    figure("TTL of today", known(of.currentTtlSeconds) ? span(of.currentTtlSeconds) : NONE),
    figure("Sampled keys", count(of.sampledKeys), followed),
    figure("Measured hit rate", percent(of.hitRate), known(of.requests) ? `of ${count(of.requests)} requests` : ""),
    figure("Never read again", share(of.neverRead), "of the entries, before they expire"),
  ]);
}

const shareOf = (of) =>
  of.shareOfMisses &&
  element("p", `Requests for other keys are counted, too: ${percent(of.shareOfMisses.estimate)} (${interval(of.shareOfMisses, percent)}) of the misses are of these keys, and hit rates are those of all requests if the TTL of these keys alone changes.`, { class: "hint" });

function verdict(advice) {
  if (advice.refused) return notice(`No advice: ${advice.refused}.`);
  if (!advice.recommended) return element("p", "No TTL is recommended.");
  return element("p", `Recommended: ${span(advice.recommended.ttlSeconds)}, because ${advice.recommended.reason}.`);
}

const ofKeys = (advice) => [verdict(advice), shareOf(advice.diagnostics), curve(advice), sources(advice.diagnostics)];

function ofGroup(group) {
  const title = element("h3");
  title.append(group.by === "rule" ? "Keys of the rule for " : "Keys named ", element("code", group.keys));
  return [title, ...ofKeys(group)];
}

/** The parts about other TTLs; none if the service does not look for them. */
export function ttlParts({ advice, everySeconds }) {
  if (!advice && !everySeconds) return [];
  const title = element("h3", "Other TTLs");
  if (!advice) {
    const text = `The service looks at keys every ${span(everySeconds)}; nothing is known before the first look.`;
    return [title, element("p", text, { class: "hint" })];
  }
  const about = element("p", "By the look of ", { class: "hint" });
  about.append(time(advice.at), ".");
  // With groups, the figures are theirs.
  const parts = advice.groups ? [verdict(advice), ...advice.groups.flatMap(ofGroup)] : ofKeys(advice);
  return [title, ...parts, about].filter(Boolean);
}
