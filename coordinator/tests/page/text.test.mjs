// Values as text: what is not known is a dash, never a number, `NaN` or `null`.
import assert from "node:assert/strict";
import { test } from "node:test";

import { patternOf, protectLines } from "../../src/serve/page/js/findings.js";
import { axisTimes, brief, BYTE_STEPS, bytes, capital, count, extremes, millis, NONE, percent, span, took, wholePercent } from "../../src/serve/page/js/text.js";

/** No line ends between a number and its unit. */
const joined = (text) => text?.replace(/([0-9]) (?=(s|min|h|d|ms|%|B|[KMGT]iB)( |$))/g, "$1\u00a0") ?? text;

const check = (format, cases) => {
  for (const [value, expected] of cases) assert.equal(format(value), joined(expected), `${format.name}(${value})`);
};

test("what is not known is a dash", () => {
  for (const format of [count, brief, percent, millis, bytes]) check(format, [[null, NONE], [undefined, NONE]]);
  check(span, [[NaN, NONE], [Infinity, NONE], [-1, NONE]]);
  assert.equal(took({ startedAt: "2026-01-01T00:00:00Z", finishedAt: null }), NONE);
  assert.equal(extremes([null, undefined], count), "Not known");
});

test("numbers have their unit and few digits", () => {
  check(count, [[0, "0"], [1234567, "1,234,567"]]);
  check(brief, [[999, "999"], [1234567, "1.2M"]]);
  check(wholePercent, [[0, "0 %"], [0.054, "5 %"], [1, "100 %"]]);
  check(percent, [[0, "0.0 %"], [99.95, "100.0 %"], [12.34, "12.3 %"]]);
  check(millis, [[0.123, "0.12 ms"], [9.999, "10.00 ms"], [10, "10.0 ms"]]);
});

test("sizes have the largest unit of which there is a whole one, and one decimal below 100", () => {
  check(bytes, [[0, "0 B"], [1023, "1023 B"], [1024, "1.0 KiB"], [1536, "1.5 KiB"], [102400, "100 KiB"]]);
  check(bytes, [[1024 ** 2 - 1, "1.0 MiB"], [1024 ** 3, "1.0 GiB"], [1024 ** 5, "1024 TiB"]]);
  assert.ok(BYTE_STEPS.every((step, at) => at === 0 || step > BYTE_STEPS[at - 1]));
});

test("times have two units at most", () => {
  check(span, [[0, "0 s"], [0.4, "0 s"], [59.4, "59 s"], [59.5, "1 min"], [60, "1 min"], [61, "1 min 1 s"]]);
  check(span, [[3599, "59 min 59 s"], [3600, "1 h"], [5400, "1 h 30 min"], [86399, "23 h 59 min"], [86400, "1 d"]]);
  check(span, [[90000, "1 d 1 h"], [86400 * 30, "30 d"]]);
  assert.equal(took({ startedAt: "2026-01-01T00:00:00Z", finishedAt: "2026-01-01T00:01:05.2Z" }), joined("1 min 5 s"));
});

test("an axis has times, and dates where they change", () => {
  const hours = (...all) => all.map((hour) => Date.UTC(2026, 0, 1, hour));
  const lines = (times, step) => axisTimes(times, step).map((text) => text.split("\n").length);
  // A day in any time zone.
  assert.equal(lines(hours(0, 6, 12, 18, 24), 21_600).filter((count) => count === 2).length, 2);
  assert.equal(lines(hours(12, 12.5), 1_800)[0], 2);
  assert.deepEqual(lines(hours(0, 24, 48), 86_400), [1, 1, 1]);
  assert.equal(new Set(axisTimes(hours(0, 24, 48), 86_400)).size, 3);
  const [first, second] = axisTimes([1_000, 2_000], 1);
  assert.notEqual(first.split("\n")[0], second);
  assert.deepEqual(axisTimes([], 1), []);
});

test("sentences", () => {
  check(capital, [["", ""], ["a", "A"], ["the service", "The service"]]);
  assert.equal(extremes([3, null, 1, 2], count), "Lowest 1, highest 3, last 2");
});

test("a prefix becomes a pattern only if it is shown as it is", () => {
  check(patternOf, [["user:", "user:*"], ["a*b?c[d]", "a\\*b\\?c\\[d\\]*"], ["long…", null], ["a\\x00", null]]);
  const job = { protect: ["keep:*", "user:*"] };
  assert.equal(protectLines(job, "user:"), 'protect = ["keep:*", "user:*"]');
  assert.equal(protectLines(job, 'a"b:'), 'protect = ["keep:*", "user:*", "a\\"b:*"]');
  assert.equal(protectLines({ protect: null }, "user:"), null);
  assert.equal(protectLines(undefined, "user:"), null);
  const rule = '[[job.rule]]\nmatch = ["user:*"]\ndurable = true';
  assert.equal(protectLines({ protect: [], action: "rules" }, "user:"), rule, "rules and `protect` exclude each other");
});
