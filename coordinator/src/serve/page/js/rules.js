// The rules of a job in a run in progress: a row for each, with what was done with its keys so far.

import { cell, element, row, table } from "./dom.js";
import { count, NONE } from "./text.js";

/** What rules do, by their actions. */
const DOES = { delete: "deletes", report: "reports", durable: "nothing", ttl: "sees to TTLs" };
/** Outcomes, with their words. */
const DONE = { deleted: "deleted", expired: "given a TTL", clamped: "TTL shortened", reported: "reported" };
const LEFT = { spared: "had changed", undecided: "undecided" };

/** The keys of a rule by what was done with them, in words; `kinds` are fields and their words. */
export function keysOf(rule, kinds) {
  const some = Object.entries(kinds).filter(([field]) => rule[field] > 0);
  return some.map(([field, word]) => `${count(rule[field])} ${word}`).join(", ") || NONE;
}

const ruleRow = (rule) =>
  row([
    cell(`${rule.index}. ${rule.match.join(" ")}`, "key", "th"),
    cell(rule.owner ?? NONE),
    cell(DOES[rule.action] ?? rule.action),
    cell(count(rule.scanned), "n"),
    cell(count(rule.candidates), "n"),
    cell(keysOf(rule, DONE)),
    cell(keysOf(rule, LEFT)),
  ]);

/** The heading and the table of the rules; nothing if there are none. */
export function rulesOf(rules) {
  if (!rules.length) return [];
  const columns = ["Rule", "Owner", "Does", "#Keys", "#Candidates", "Done", "Left alone"];
  return [
    element("h4", "What each rule does"),
    table("By what has been read and done so far", columns, rules.map(ruleRow)),
  ];
}
