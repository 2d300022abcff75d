// A run in progress: the geometry of its map, how far it is, and how long it still takes.
import assert from "node:assert/strict";
import { test } from "node:test";

import { keysOf } from "../../src/serve/page/js/rules.js";
import { shareListed, timeLeft } from "../../src/serve/page/js/running.js";
import { described, marksOf } from "../../src/serve/page/js/slotmap.js";
import { NONE } from "../../src/serve/page/js/text.js";

const STRIP = {
  address: "127.0.0.1:7001",
  counts: { read: 5000, skipped: 0, inWork: 460, requeued: 0, waiting: 0, uncovered: 1 },
  // Other nodes serve what is in between.
  spans: [
    { first: 0, last: 4999, count: 5000, state: "read" },
    { first: 6000, last: 6459, count: 460, state: "inWork" },
    { first: 16383, last: 16383, count: 1, state: "uncovered" },
  ],
  grain: 1,
};

test("marks are as wide as the parts that the node serves, in their order", () => {
  const marks = marksOf(STRIP);
  assert.deepEqual(marks.map(({ grow, state }) => [grow, state]), [[5000, "read"], [460, "inWork"], [1, "uncovered"]]);
  const { counts } = STRIP;
  for (const { grow, state } of marks) assert.equal(grow, counts[state], state);
  assert.deepEqual(
    marks.map(({ title }) => title),
    ["0–4999: read (5,000)", "6000–6459: in work (460)", "16383: uncovered (1)"],
  );
  assert.deepEqual(marksOf({ ...STRIP, spans: [] }), []);
});

test("a strip is described by the states that it has", () => {
  assert.equal(described(STRIP, "slots"), "127.0.0.1:7001, slots: 5,000 read, 460 in work, 1 uncovered.");
  const unserved = { ...STRIP, address: null };
  assert.match(described(unserved, "positions"), /^no node, parts of the table, of 1,024: /);
});

test("the share of what is listed is never beyond the whole, and unknown without a plan", () => {
  const check = (listedKeys, keys, expected) => assert.equal(shareListed({ listedKeys, keys }), expected);
  check(0, 10, 0);
  check(5, 10, 0.5);
  check(11, 10, 1);
  check(null, 10, null);
  check(5, null, null);
  check(0, 0, null);
});

test("the time left follows the rate of the last minute", () => {
  const samples = [];
  const at = (now, listedKeys, state = "scanning") => timeLeft(samples, { listedKeys, keys: 10_000, state }, now);
  assert.equal(at(0, 0), NONE);
  assert.equal(at(1_000, 100), NONE, "it is too early to say");
  assert.equal(at(4_000, 400), "about 1\u00a0min 36\u00a0s to scan");
  // Nothing for a while, and then 100 keys a second: the rate over all would be 88.
  for (let second = 15; second <= 75; second += 1) at(second * 1_000, 400 + (second - 15) * 100);
  assert.equal(at(76_000, 6_500), "about 35\u00a0s to scan");
  assert.ok(samples.length <= 62, `${samples.length} samples are kept`);
  assert.equal(at(77_000, 6_500, "reaping"), NONE);
  assert.equal(timeLeft([], { listedKeys: null, keys: 10_000 }, 0), NONE);
});

test("keys of a rule are named by what was done with them", () => {
  const words = { deleted: "deleted", expired: "given a TTL" };
  assert.equal(keysOf({ deleted: 1200, expired: 0 }, words), "1,200 deleted");
  assert.equal(keysOf({ deleted: 2, expired: 1 }, words), "2 deleted, 1 given a TTL");
  assert.equal(keysOf({ deleted: 0, expired: 0 }, words), NONE);
});
