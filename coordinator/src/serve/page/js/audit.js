// The search of the audit trail.

import { say } from "./actions.js";
import { by, cell, element, row, table } from "./dom.js";
import { ask } from "./service.js";
import { count, time } from "./text.js";

/** A cell with an id, which is shown in part and copied in full. */
const long = (id) => cell(element("span", id, { title: id }), "long");

const auditRow = (found) =>
  row([
    cell(found.key ?? "not shown", "key", "th"),
    cell(found.outcome),
    cell(found.reason),
    long(found.node),
    cell(String(found.slot), "n"),
    cell(time(found.time)),
    long(found.runId),
  ]);

/** Searches by the fields of the form. */
export async function searchAudit(form) {
  const query = new URLSearchParams();
  for (const [name, value] of form) if (value.trim()) query.set(name, name === "run" ? value.trim() : value);
  const { keys, more } = await ask(`api/audit?${query}`);
  say("audit-said", keys.length ? `${count(keys.length)} keys${more ? ", and there are more" : ""}.` : "No key was found.");
  by("audit").replaceChildren();
  if (!keys.length) return;
  const columns = ["Key", "Outcome", "Reason", "Node", "#Slot", "Time", "Run"];
  by("audit").append(table("Changed keys, those changed last first", columns, keys.map(auditRow)));
}
