// Charts, drawn by uPlot. Each has a description in words and its data as a table, so that the picture adds nothing that
// is not said.

/* global uPlot */
import { cell, disclosure, element, row, table } from "./dom.js";
import { axisTimes, NONE } from "./text.js";

const HEIGHT = 200;
const drawings = new Set();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function axis(values, extra = {}) {
  const line = { stroke: colour("--line"), width: 1 };
  return { stroke: colour("--muted"), grid: line, ticks: line, values, font: "12px system-ui, sans-serif", ...extra };
}

const timesBelow = (plot, splits, at, space, step) => axisTimes(splits.map((seconds) => seconds * 1000), step);

/** Draws a chart again when its place or the colours change. */
class Drawing {
  constructor(place, options, data) {
    Object.assign(this, { place, options, data });
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(place);
    this.draw();
  }

  draw() {
    this.plot?.destroy();
    this.place.replaceChildren();
    this.plot = new uPlot({ width: this.width(), height: HEIGHT, ...this.options() }, this.data, this.place);
  }

  width() {
    return Math.max(120, this.place.clientWidth);
  }

  fit() {
    if (this.plot && this.plot.width !== this.width()) this.plot.setSize({ width: this.width(), height: HEIGHT });
  }

  end() {
    this.observer.disconnect();
    this.plot?.destroy();
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawings.forEach((drawing) => drawing.draw()));

/** Ends the charts that are drawn: others come in their place. */
export function endCharts() {
  drawings.forEach((drawing) => drawing.end());
  drawings.clear();
}

/** A heading, a description, the picture, and the data as a table. */
function framed(title, description, caption, columns, rows, options, data) {
  const box = element("section", "", { class: "chart" });
  const head = element("h3", title);
  const picture = element("div", "", { class: "picture", role: "img", "aria-label": `${title}. ${description}` });
  box.append(head, element("p", description, { class: "hint" }), picture);
  box.append(disclosure("As a table", table(caption, columns, rows)));
  // It has a width only when it is on the page.
  requestAnimationFrame(() => picture.isConnected && drawings.add(new Drawing(picture, options, data)));
  return box;
}

/**
 * Values over time. `lines` are `{ label, values, format }`; `times` are numbers of milliseconds; `scale` is how the values
 * of an axis are written, and its steps, if they are not decimal.
 */
export function lineChart({ title, description, times, lines, timeText, scale, fromZero = true }) {
  const data = [times.map((at) => at / 1000), ...lines.map((line) => line.values)];
  const strokes = ["--accent", "--calm"];
  const dashes = [[], [6, 4]];
  const options = () => ({
    scales: { y: { range: (plot, low, high) => (fromZero ? [0, (high || 1) * 1.05] : uPlot.rangeNum(low, high, 0.1, true)) } },
    axes: [axis(timesBelow, { space: 90 }), axis((plot, values) => values.map(scale.format), { size: 78, incrs: scale.steps })],
    series: [
      { label: "Time", value: (plot, at) => (at === null ? "–" : timeText(at * 1000)) },
      ...lines.map((line, at) => ({
        label: line.label,
        stroke: colour(strokes[at]),
        dash: dashes[at],
        width: 2,
        spanGaps: false,
        value: (plot, value) => (value === null || value === undefined ? "–" : line.format(value)),
      })),
    ],
  });
  const rows = times.map((at, index) =>
    row([cell(timeText(at), "", "th"), ...lines.map((line) => cell(known(line.values[index], line.format), "n"))])
  );
  const columns = ["Time", ...lines.map((line) => `#${line.label}`)];
  return framed(title, description, title, columns, rows.reverse(), options, data);
}

const known = (value, format) => (value === null || value === undefined ? "–" : format(value));

/** Lines from the top to the bottom through marked places. */
const verticals = (marks) => (plot) => {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour("--muted");
  ctx.setLineDash([4, 4]);
  marks.forEach((mark, place) => {
    if (!mark) return;
    const x = plot.valToPos(place, "x", true);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  });
  ctx.restore();
};

/** Estimates with names, in the band between their low and high ends; some places have marks, which are words. */
export function curveChart({ title, description, names, marks, lows, values, highs, format, label, columns, rows }) {
  const places = names.map((_, at) => at);
  const named = places.map((at) => [names[at], marks[at].replace(", ", "\n")].filter(Boolean).join("\n"));
  const shown = (plot, value) => known(value, format);
  const end = { stroke: "transparent", points: { show: false }, value: shown };
  const options = () => ({
    scales: { x: { time: false, range: [-0.4, names.length - 0.6] } },
    axes: [
      axis((plot, at) => at.map((place) => named[place] ?? ""), { splits: () => places, size: 62, grid: { show: false } }),
      axis((plot, all) => all.map(format), { size: 64 }),
    ],
    bands: [{ series: [1, 3], fill: colour("--accent-soft") }],
    hooks: { draw: [verticals(marks)] },
    series: [
      { label: "TTL", value: (plot, at) => names[at] ?? NONE },
      { label: "At most", ...end },
      { label, stroke: colour("--accent"), width: 2, points: { show: true, size: 7 }, value: shown },
      { label: "At least", ...end },
    ],
  });
  return framed(title, description, title, columns, rows, options, [places, highs, values, lows]);
}

/** Bars with names. */
export function barChart({ title, description, names, values, format, scale, label }) {
  const places = names.map((_, at) => at);
  const options = () => ({
    scales: { x: { time: false, range: [-0.6, names.length - 0.4] }, y: { range: (plot, low, high) => [0, (high || 1) * 1.05] } },
    axes: [
      axis((plot, at) => at.map((place) => names[place] ?? ""), { splits: () => places, rotate: -55, size: 60, grid: { show: false } }),
      axis((plot, all) => all.map(scale.format), { size: 64 }),
    ],
    series: [
      { label: "TTL", value: (plot, at) => names[at] ?? "–" },
      {
        label,
        fill: colour("--accent"),
        stroke: colour("--accent"),
        points: { show: false },
        paths: uPlot.paths.bars({ size: [0.8, 60] }),
        value: (plot, value) => known(value, format),
      },
    ],
  });
  const rows = names.map((name, at) => row([cell(name, "", "th"), cell(format(values[at]), "n")]));
  return framed(title, description, title, ["Remaining TTL", `#${label}`], rows, options, [places, values]);
}
