// Values as text.

import { element } from "./dom.js";

const number = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** What is not known. */
export const NONE = "–";
export const known = (value) => value !== null && value !== undefined;
export const count = (value) => (known(value) ? number.format(value) : NONE);
/** A number with few digits, for an axis. */
export const brief = (value) => (known(value) ? short.format(value) : NONE);
export const percent = (value) => (known(value) ? `${value.toFixed(1)} %` : NONE);
export const millis = (value) => (known(value) ? `${value.toFixed(value < 10 ? 2 : 1)} ms` : NONE);

export function span(seconds) {
  const whole = Math.round(seconds);
  if (!Number.isFinite(whole) || whole < 0) return NONE;
  if (whole < 60) return `${whole} s`;
  const [size, unit, part, rest] =
    whole < 3600 ? [60, "min", 1, "s"] : whole < 86400 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"];
  const small = Math.floor((whole % size) / part);
  return `${Math.floor(whole / size)} ${unit}${small ? ` ${small} ${rest}` : ""}`;
}

export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [left, at] = [value, 0];
  while (Math.round(left) >= 1024 && at < units.length - 1) [left, at] = [left / 1024, at + 1];
  return `${left.toFixed(at === 0 || left >= 100 ? 0 : 1)} ${units[at]}`;
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

export function time(text) {
  const at = new Date(text);
  const shown = Number.isNaN(at.getTime()) ? text : moment.format(at);
  return element("time", shown, { datetime: text, title: text });
}

export const took = (run) =>
  run.finishedAt ? span((Date.parse(run.finishedAt) - Date.parse(run.startedAt)) / 1000) : NONE;

export const capital = (text) => text && text[0].toUpperCase() + text.slice(1);
