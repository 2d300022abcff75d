// Elements of the page. Values reach it as text only (`textContent`); nothing is parsed as HTML.

export const by = (id) => document.getElementById(id);

/** A new element with text and attributes. */
export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Sets a text only if it differs, so that nothing is announced or selected twice. */
export function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Redraws a place when its data has changed, and only then: focus and selection stay. */
const drawn = new WeakMap();
export function redraw(place, data, draw) {
  const text = JSON.stringify(data);
  if (!place || drawn.get(place) === text) return;
  drawn.set(place, text);
  place.replaceChildren(...draw(data));
}

/** A cell with a text or an element; `name` is a class. */
export function cell(content, name = "", kind = "td") {
  const made = element(kind);
  if (kind === "th") made.setAttribute("scope", "row");
  if (name) made.className = name;
  made.append(content);
  return made;
}

export function row(cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

/** The body of a table that can be scrolled sideways. A column whose name begins with `#` has numbers. */
export function table(caption, columns, rows) {
  const head = element("thead");
  const heads = columns.map((name) =>
    name.startsWith("#")
      ? element("th", name.slice(1), { scope: "col", class: "n" })
      : element("th", name, { scope: "col" })
  );
  head.append(row(heads));
  const body = element("tbody");
  body.append(...rows);
  const whole = element("table");
  whole.append(element("caption", caption), head, body);
  const scroll = element("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption });
  scroll.append(whole);
  return scroll;
}

/** A heading with a body that is shown on request. */
export function disclosure(title, ...body) {
  const made = element("details");
  made.append(element("summary", title), ...body);
  return made;
}

/** A pair of a description list: a label, a value, and what it means. */
export function figure(label, value, about = "") {
  const pair = element("div");
  pair.append(element("dt", label), element("dd", value));
  if (about) pair.append(element("dd", about, { class: "hint" }));
  return pair;
}

export function figures(pairs) {
  const list = element("dl", "", { class: "figures" });
  list.append(...pairs);
  return list;
}

export const notice = (text, kind = "warn") => element("p", text, { class: `notice ${kind}` });
