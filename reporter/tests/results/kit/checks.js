// Checks the page that contains it and reports problems to the parent window. Only the test inserts it.
addEventListener("load", () => {
  const wrong = [];
  const name = (e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") || ""} "${(e.textContent || "").trim().slice(0, 40)}"`;
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
  const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  const inside = (e, test) => { for (let p = e; p; p = p.parentElement) if (test(p)) return true; return false; };
  for (const folded of document.querySelectorAll("details")) folded.open = true;

  // Nothing is wider than the page.
  const width = document.documentElement.clientWidth;
  if (document.scrollingElement.scrollWidth > innerWidth) wrong.push(`the page is ${document.scrollingElement.scrollWidth} wide`);
  for (const e of document.body.querySelectorAll("*")) {
    if (!seen(e) || e.closest(".skip")) continue;
    const box = e.getBoundingClientRect();
    if (!inside(e, scrolls) && (box.right > width + 1 || box.left < -1)) wrong.push(`outside of the page: ${name(e)} ${box.left} to ${box.right} of ${width}`);
    // Nothing is wider than its own box.
    const svg = e.namespaceURI.endsWith("svg");
    if (!svg && !scrolls(e) && getComputedStyle(e).display !== "inline" && e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1) {
      wrong.push(`cut off: ${name(e)} ${e.scrollWidth} in ${e.clientWidth}`);
    }
    // Texts of charts stay inside and do not overlap.
    if (e.tagName === "text") {
      const frame = e.ownerSVGElement.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1) wrong.push(`outside of its chart: ${name(e)}`);
      if (box.height < 9) wrong.push(`too small: ${name(e)} ${box.height}`);
    }
  }
  for (const chart of document.querySelectorAll("svg.chart")) {
    const texts = [...chart.querySelectorAll("text")].filter(seen).map((e) => [e, e.getBoundingClientRect()]);
    texts.forEach(([a, p], n) => texts.slice(n + 1).forEach(([b, q]) => {
      const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (across > 1 && down > 4) wrong.push(`one over the other: ${name(a)} and ${name(b)}`);
    }));
  }

  // Text has enough contrast to its background.
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => {
    const part = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (e) => {
    for (let p = e; p; p = p.parentElement) {
      const color = parse(getComputedStyle(p).backgroundColor);
      if (color.a > 0.99) return color;
    }
    return { r: 255, g: 255, b: 255 };
  };
  for (const e of document.body.querySelectorAll("*")) {
    const words = [...e.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!words || !seen(e) || ["script", "title", "desc"].includes(e.tagName.toLowerCase())) continue;
    const style = getComputedStyle(e);
    const [text, ground] = [light(parse(e.tagName === "text" ? style.fill : style.color)), light(behind(e))];
    const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (contrast < 4.5) wrong.push(`hard to read (${contrast.toFixed(2)}): ${name(e)}`);
  }

  // One chart of each pair is visible, and it has a name.
  for (const figure of document.querySelectorAll("figure")) {
    const charts = [...figure.querySelectorAll("svg")].filter(seen);
    if (charts.length !== 1) wrong.push(`${charts.length} charts show in a figure`);
  }
  for (const picture of document.querySelectorAll('svg[role="img"]')) {
    const named = picture.getAttribute("aria-labelledby").split(" ").every((id) => document.getElementById(id)?.textContent);
    if (!named) wrong.push("a chart has no name");
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id is there twice");
  if (typeof innerWidth !== "number" || document.querySelectorAll("script").length !== 1) wrong.push("there is another script");
  parent.report({ name: window.name, dark: matchMedia("(prefers-color-scheme: dark)").matches, wrong: wrong.slice(0, 20) });
});
