// Prefixes of keys that runs find, each with lines for the job file that protect it.

import { cell, disclosure, element, row } from "./dom.js";
import { count, known } from "./text.js";

/** A pattern that matches all keys with `prefix`; null if the prefix is not shown as it is, but with escapes or cut off. */
export function patternOf(prefix) {
  if (/[\\…]/.test(prefix)) return null;
  return `${prefix.replace(/[*?[\]]/g, "\\$&")}*`;
}

/** Lines of the job file that protect `prefix` as well; null if they cannot be written. A job with rules gets another one. */
export function protectLines(job, prefix) {
  const pattern = patternOf(prefix);
  if (!pattern || !job?.protect) return null;
  if (job.action === "rules") return `[[job.rule]]\nmatch = [${JSON.stringify(pattern)}]\ndurable = true`;
  const before = job.protect.filter((known) => known !== pattern);
  // A basic string of TOML has the escapes of JSON.
  return `protect = [${[...before, pattern].map((text) => JSON.stringify(text)).join(", ")}]`;
}

function snippet(job, prefix) {
  const line = protectLines(job, prefix);
  if (!line) return element("span", "Not here: a name or a pattern is not plain text.", { class: "hint" });
  const code = element("pre", line, { class: "snippet", tabindex: "0" });
  const copy = element("button", "Copy", { type: "button", class: "quiet small" });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
  });
  const place = job.action === "rules" ? `before the other rules of ${job.job}` : `as the \`protect\` of ${job.job}`;
  return disclosure("Protect this", element("p", `In the job file, ${place}:`, { class: "hint" }), code, copy);
}

/** A row of a prefix, its number of keys, and the way to protect it. */
export function protectRow(job, { prefix, weight, low, high }) {
  const exact = low === weight && high === weight;
  const keys = cell(`${exact ? "" : "about "}${count(weight)}`, "n");
  if (!exact && known(high)) keys.setAttribute("title", `between ${count(low)} and ${count(high)}`);
  return row([cell(prefix, "key", "th"), keys, cell(snippet(job, prefix))]);
}
