// The tour of a person without a mouse: log in, start a run, stop it, search the audit. Tab reaches all that acts, in the
// order of the page, and what has the focus can be seen.
import { base, deletes, problems, shows, token, tour, until } from "./page.mjs";

/** More than there are stops of Tab on the page. */
const STOPS_MAX = 60;

/** What has the focus, as a selector, or as what it does. */
const focused = (page) =>
  page.evaluate(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    return at.id ? `#${at.id}` : (at.name || at.getAttribute("aria-label") || at.textContent.trim());
  });

/** Notes it if what has the focus is out of sight, or looks as without the focus. */
async function isSeen(page, what) {
  const problem = await page.evaluate(() => {
    const at = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(at);
    if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) return "has no outline";
    const { width, height, top, bottom } = at.getBoundingClientRect();
    if (width < 2 || height < 2) return "has no size";
    return bottom <= 0 || top >= innerHeight ? "is out of sight" : "";
  });
  if (problem) problems.push(`${what} has the focus and ${problem}`);
}

/** Presses Tab until `wanted` has the focus; returns what had it on the way. */
async function tabTo(page, wanted, key = "Tab") {
  const way = [];
  for (let stop = 0; stop < STOPS_MAX; stop++) {
    await page.keyboard.press(key);
    const at = await focused(page);
    if (at !== null) await isSeen(page, at);
    way.push(at);
    if (at === wanted) return way;
  }
  const state = await page.locator("#state").innerText();
  throw new Error(`${key} does not reach ${wanted}, with "${state}": ${way.join(", ")}`);
}

/** Whether `wanted` come one after the other in `way`, with others between them. */
function inOrder(way, wanted) {
  let from = 0;
  for (const each of wanted) {
    const at = way.indexOf(each, from);
    if (at < 0) problems.push(`Tab reaches ${each} not in its place: ${way.join(", ")}`);
    else from = at + 1;
  }
}

async function answer(page, text) {
  await shows(page, "#ask-text", text);
  // Enter alone changes nothing.
  if ((await focused(page)) !== "#ask-no") problems.push(`a question begins with the focus at ${await focused(page)}`);
  await tabTo(page, "#ask-yes");
  await page.keyboard.press("Enter");
}

tour(async (page) => {
  await page.goto(`${base}/`);
  await page.locator("#login button:enabled").waitFor();
  await tabTo(page, "#token");
  await page.keyboard.type(token);
  await tabTo(page, "Log in");
  await page.keyboard.press("Enter");
  await shows(page, "#freshness", "Live");

  const way = await tabTo(page, "Skip to the content");
  inOrder([...way, ...(await tabTo(page, "#audit-run")), ...(await tabTo(page, "Search"))], [
    "Skip to the content", "#logout", "#start-job", "kind", "Start…", "When each job is due", "The last runs", "#cache-job",
    "Read now", "#audit-prefix", "#audit-run", "Search",
  ]);

  await page.reload();
  await shows(page, "#freshness", "Live");
  await tabTo(page, "Skip to the content");
  await page.keyboard.press("Enter");
  const first = await tabTo(page, "#start-job");
  if (first.includes("#logout")) problems.push(`the header is not skipped: ${first.join(", ")}`);
  await tabTo(page, "kind");
  await page.keyboard.press("ArrowDown");
  await tabTo(page, "Start…");
  await page.keyboard.press("Enter");
  await answer(page, "deletes keys");
  await shows(page, "#state", "In progress:");
  await deletes(page);

  // It stands before the form.
  await tabTo(page, "Stop…", "Shift+Tab");
  await page.keyboard.press("Enter");
  await shows(page, "#ask-text", "safe point");
  await page.keyboard.press("Escape");
  await until("the question is closed", async () => !(await page.locator("#ask").evaluate((ask) => ask.open)));
  if ((await focused(page)) !== "Stop…") problems.push(`after a question, ${await focused(page)} has the focus`);
  await page.keyboard.press("Enter");
  await answer(page, "safe point");
  await shows(page, "#state", "No run is in progress");
  await shows(page, "#runs", "cancelled");

  await tabTo(page, "#audit-prefix");
  await page.keyboard.type("permissions:");
  await tabTo(page, "Search");
  await page.keyboard.press("Enter");
  await shows(page, "#audit", "deleted");
  if ((await focused(page)) !== "Search") problems.push(`after the search, ${await focused(page)} has the focus`);
  await isSeen(page, "Search");
});
