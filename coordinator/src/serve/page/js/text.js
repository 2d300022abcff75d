// Values as text.

import { element } from "./dom.js";

const number = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A space between a number and its unit: no line ends there. */
const NB = "\u00a0";
/** What is not known. */
export const NONE = "–";
export const known = (value) => value !== null && value !== undefined;
export const count = (value) => (known(value) ? number.format(value) : NONE);
/** A number with few digits, for an axis. */
export const brief = (value) => (known(value) ? short.format(value) : NONE);
export const percent = (value) => (known(value) ? `${value.toFixed(1)}${NB}%` : NONE);
/** A part of 1 in whole percent. */
export const wholePercent = (part, round = Math.round) => `${round(part * 100)}${NB}%`;
export const millis = (value) => (known(value) ? `${value.toFixed(value < 10 ? 2 : 1)}${NB}ms` : NONE);

export function span(seconds) {
  const whole = Math.round(seconds);
  if (!Number.isFinite(whole) || whole < 0) return NONE;
  if (whole < 60) return `${whole}${NB}s`;
  const [size, unit, part, rest] =
    whole < 3600 ? [60, "min", 1, "s"] : whole < 86400 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"];
  const small = Math.floor((whole % size) / part);
  return `${Math.floor(whole / size)}${NB}${unit}${small ? ` ${small}${NB}${rest}` : ""}`;
}

export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [left, at] = [value, 0];
  while (Math.round(left) >= 1024 && at < units.length - 1) [left, at] = [left / 1024, at + 1];
  return `${left.toFixed(at === 0 || left >= 100 ? 0 : 1)}${NB}${units[at]}`;
}

/** The lowest, the highest and the last of values, in words. */
export function extremes(values, format) {
  const all = values.filter(known);
  if (all.length === 0) return "Not known";
  return `Lowest ${format(Math.min(...all))}, highest ${format(Math.max(...all))}, last ${format(all.at(-1))}`;
}

/** Steps of an axis in bytes. */
export const BYTE_STEPS = [0, 1, 2, 3, 4].flatMap((power) =>
  [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map((factor) => factor * 1024 ** power)
);

export const momentText = (at) => moment.format(at);

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const clockWithSeconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/** Times, in milliseconds, below an axis whose marks are `step` seconds apart: the date where it is another one. */
export function axisTimes(times, step) {
  let before = null;
  return times.map((at) => {
    const date = day.format(at);
    const isNew = date !== before;
    before = date;
    if (step >= 86_400) return date;
    const text = (step < 60 ? clockWithSeconds : clock).format(at);
    return isNew ? `${text}\n${date}` : text;
  });
}

export function time(text) {
  const at = new Date(text);
  const shown = Number.isNaN(at.getTime()) ? text : moment.format(at);
  return element("time", shown, { datetime: text, title: text });
}

export const took = (run) =>
  run.finishedAt ? span((Date.parse(run.finishedAt) - Date.parse(run.startedAt)) / 1000) : NONE;

export const capital = (text) => text && text[0].toUpperCase() + text.slice(1);
