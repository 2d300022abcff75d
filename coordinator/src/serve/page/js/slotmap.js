// The map of a run: a strip for each node, with the state of its slots, and the same as a table. Colour is never alone:
// each state has a pattern, and a name in the legend and in the table.

import { cell, disclosure, element, redraw, row, table } from "./dom.js";
import { count } from "./text.js";

/** The states, in the order of the legend, with what they mean. */
const STATES = {
  read: ["read", "Read completely"],
  skipped: ["skipped", "Not read, because the node has no key without TTL"],
  inWork: ["in work", "A worker reads it"],
  requeued: ["requeued", "Handed out before, and planned again"],
  waiting: ["waiting", "Planned"],
  uncovered: ["uncovered", "Not read, and not planned"],
};
const UNITS = { slots: "slots", positions: "parts of the table, of 1,024" };

function legend() {
  const list = element("ul", "", { class: "legend" });
  for (const [state, [name, meaning]] of Object.entries(STATES)) {
    const item = element("li", "", { title: meaning });
    item.append(element("span", "", { class: `swatch ${state}`, "aria-hidden": "true" }), name);
    list.append(item);
  }
  return list;
}

const nameOf = (strip) => strip.address ?? "no node";

/** A strip in words. */
export function described(strip, unit) {
  const parts = Object.entries(STATES).filter(([state]) => strip.counts[state] > 0);
  const texts = parts.map(([state, [name]]) => `${count(strip.counts[state])} ${name}`);
  return `${nameOf(strip)}, ${UNITS[unit]}: ${texts.join(", ")}.`;
}

/** The marks of a strip from left to right: the share of its width that each has, what it is, and what it says. */
export function marksOf(strip) {
  return strip.spans.map(({ first, last, count: parts, state }) => {
    const places = first === last ? `${first}` : `${first}–${last}`;
    return { grow: parts, state, title: `${places}: ${STATES[state][0]} (${count(parts)})` };
  });
}

function stripOf(strip, unit) {
  const box = element("div", "", { class: "strip-row" });
  const bar = element("div", "", { class: "strip", role: "img", "aria-label": described(strip, unit) });
  for (const { grow, state, title } of marksOf(strip)) {
    const mark = element("span", "", { class: state, title });
    mark.style.flexGrow = grow;
    bar.append(mark);
  }
  box.append(element("span", nameOf(strip), { class: "strip-name" }), bar);
  if (strip.grain > 1) {
    const about = `Finely mixed: each mark stands for ${strip.grain} neighbours, in the state that matters most.`;
    box.append(element("span", about, { class: "hint" }));
  }
  return box;
}

const rowOf = (strip) =>
  row([cell(nameOf(strip), "", "th"), ...Object.keys(STATES).map((state) => cell(count(strip.counts[state]), "n"))]);

/** An empty map, and the function that fills it. */
export function slotMap() {
  const box = element("div", "", { class: "map" });
  const about = element("p", "", { class: "hint" });
  const strips = element("div", "", { class: "strips" });
  const places = table("The same in numbers", ["Node", ...Object.values(STATES).map(([name]) => `#${name}`)], []);
  const numbers = disclosure("As a table", places);
  box.append(element("h4", "Where it is"), about, strips, legend(), numbers);
  const draw = ({ unit, strips: nodes, moreNodes }) => {
    const more = moreNodes ? ` ${count(moreNodes)} more nodes are not shown.` : "";
    about.textContent = `${unit === "slots" ? "The slots of each node, in order." : "The table of the server, in the order of its cursors."}${more}`;
    return nodes.map((strip) => stripOf(strip, unit));
  };
  const fill = (map) => {
    redraw(strips, map, draw);
    redraw(places.querySelector("tbody"), map.strips, (nodes) => nodes.map(rowOf));
  };
  return { box, fill };
}
