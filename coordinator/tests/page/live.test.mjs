// What the page shows of the events that it gets.
import assert from "node:assert/strict";
import { test } from "node:test";

import { lastOnly, pageAfter } from "../../src/serve/page/js/service.js";

test("a snapshot is the whole page, and a patch replaces whole parts of it", () => {
  const first = pageAfter({ runs: [1], gone: true }, "snapshot", { runs: [], details: { a: 1 }, problem: null });
  assert.deepEqual(first, { runs: [], details: { a: 1 }, problem: null });
  const second = pageAfter(first, "patch", { runs: [2], details: { b: 2 } });
  assert.deepEqual(second, { runs: [2], details: { b: 2 }, problem: null });
  assert.deepEqual(pageAfter(second, "patch", { problem: "no store" }), { ...second, problem: "no store" });
  // A page that is shown does not change afterwards.
  assert.deepEqual(first, { runs: [], details: { a: 1 }, problem: null });
});

test("patches one by one or all at once end in the same page", () => {
  const patches = [{ runs: [1] }, { alerts: ["a"] }, { runs: [1, 2], problem: "x" }, { problem: null }];
  const start = { runs: [], alerts: [], problem: null };
  const each = patches.reduce((page, patch) => pageAfter(page, "patch", patch), start);
  assert.deepEqual(each, pageAfter(start, "patch", Object.assign({}, ...patches)));
});

test("figures that arrive after those of a later request do not count", () => {
  const begin = lastOnly();
  const isFirstLast = begin();
  assert.equal(isFirstLast(), true);
  const isSecondLast = begin();
  assert.deepEqual([isFirstLast(), isSecondLast()], [false, true]);
});
