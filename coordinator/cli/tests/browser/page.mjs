// What the tours of the page share: Chromium, what it must never report, accessibility, pictures, and the test that
// starts them. The test answers each line that a tour prints, such as `kill`, with `done`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [tools, base, token, folder] = process.argv.slice(2);
const require = createRequire(join(tools, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const WIDTHS = [360, 800, 1280];
const LIMIT_MS = 120_000;

export { base, token };

/** What is wrong, one text each. */
export const problems = [];

/** What the browser may report for now. */
let expected = null;

function note(problem) {
  if (!expected?.test(problem)) problems.push(problem);
}

/** Runs `work`, during which the browser may report what `pattern` matches. */
export async function expecting(pattern, work) {
  expected = pattern;
  await work();
  expected = null;
}

/** Has the test do something. */
export async function request(what) {
  console.log(what);
  const { value } = await answers.next();
  if (value !== "done") throw new Error(`the test did not ${what}`);
}

/** Waits until a part of the page has a text. */
export const shows = (page, selector, text) =>
  page.locator(selector).filter({ hasText: text }).first().waitFor({ timeout: LIMIT_MS });

/** Waits until `look` returns something true. */
export async function until(what, look) {
  const end = Date.now() + LIMIT_MS;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited too long for: ${what}`);
}

/** Waits until the run on the page has deleted keys. */
export async function deletes(page) {
  const deleted = page.locator("#running dl > div", { hasText: "Deleted so far" }).locator("dd");
  await until("deletions", async () => (await deleted.count()) && /[1-9]/.test(await deleted.first().innerText()));
}

/** A view of the page: pictures at each width, light and dark; it is nowhere too wide, and accessible. */
export async function view(page, name, { fullPage = true } = {}) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      await page.waitForTimeout(150);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      if (wide > width) problems.push(`${name} is ${wide} px wide at ${width} px`);
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage });
      // The middle one has the layout of one of the others.
      if (width === WIDTHS[1]) continue;
      for (const found of await violations(page)) problems.push(`${name}, ${width} px, ${colorScheme}: ${found}`);
    }
  }
}

async function violations(page) {
  if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    const of = (rule) => rule.nodes.map((node) => `${rule.id} at ${node.target}: ${node.failureSummary}`);
    return violations.flatMap(of);
  });
}

/** Notes what moves although the person has asked for reduced motion; without that wish, something does. */
export async function reducesMotion(page) {
  const moving = () =>
    page.evaluate(() => {
      const lasts = (times) => times.split(",").some((time) => parseFloat(time) > 0);
      const moves = (style) => lasts(style.transitionDuration) || lasts(style.animationDuration) || style.scrollBehavior === "smooth";
      const all = [...document.querySelectorAll("*")].filter((each) => moves(getComputedStyle(each)));
      return all.map((each) => each.tagName).concat(document.getAnimations().map(() => "an animation"));
    });
  await page.emulateMedia({ reducedMotion: "no-preference" });
  if (!(await moving()).length) problems.push("nothing moves, so that reduced motion is not tried");
  await page.emulateMedia({ reducedMotion: "reduce" });
  for (const each of await moving()) problems.push(`${each} moves in spite of reduced motion`);
  await page.emulateMedia({ reducedMotion: null });
}

/** The page of the service at a path, in a browser that runs no scripts. */
export async function withoutScripts(page, path, look) {
  const context = await page.context().browser().newContext({ javaScriptEnabled: false });
  const plain = await context.newPage();
  await plain.goto(`${base}${path}`);
  await look(plain);
  await context.close();
}

/** Takes a tour in a new browser, and ends the process with what is wrong. */
export async function tour(walk) {
  // The version of Debian; in a container, root has no sandbox.
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const page = await browser.newPage();
  page.on("pageerror", (error) => note(`exception: ${error.stack}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) note(`console: ${message.text()} ${message.location().url}`);
  });
  try {
    await walk(page);
  } catch (error) {
    problems.push(error.stack);
    await page.screenshot({ path: join(folder, "failed.png"), fullPage: true }).catch(() => {});
  }
  await browser.close();
  for (const problem of problems) console.error(problem);
  process.exit(problems.length ? 1 : 0);
}
