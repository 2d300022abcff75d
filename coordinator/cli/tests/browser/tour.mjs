// A person's tour of the page in Chromium: log in, start a dry run and watch it, start a run and stop it, read its report,
// search the audit, log out. Pictures at three widths, light and dark, go to a folder.
//
//     node --experimental-websocket tour.mjs http://127.0.0.1:9464 TOKEN FOLDER
import { join } from "node:path";
import { open, pause, until } from "./devtools.mjs";

const [base, token, folder] = process.argv.slice(2);
const problems = [];
const page = await open(problems);
const text = (selector) => page.value(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`);
const click = (selector) => page.value(`document.querySelector(${JSON.stringify(selector)}).click()`);
const fill = (selector, value) =>
  page.value(`document.querySelector(${JSON.stringify(selector)}).value = ${JSON.stringify(value)}`);
const shows = (what, selector, part) => until(what, async () => (await text(selector)).includes(part));

async function pictures(name) {
  for (const scheme of ["light", "dark"]) {
    for (const width of [360, 800, 1280]) {
      await page.size(width, 900, scheme);
      await pause(150);
      const wide = await page.value("document.documentElement.scrollWidth");
      if (wide > width) problems.push(`${name} is ${wide} px wide at ${width} px`);
      await page.picture(join(folder, `${name}-${width}-${scheme}.png`));
    }
  }
}

async function tour() {
  await page.send("Page.navigate", { url: `${base}/` });
  await until("the login", () => page.value(`document.querySelector("#token") !== null`));
  await pictures("login");
  await fill("#token", token);
  await click("#login button");
  await shows("live data", "#freshness", "Live");

  await click("#start button");
  await shows("a dry run that has ended", "#runs", "completed");

  await click(`[name="kind"][value="real"]`);
  await click("#start button");
  await shows("the question", "#ask-text", "deletes keys");
  await pictures("question");
  await click("#ask-yes");
  await shows("the run", "#running", "Deleted so far");
  await until("deletions", async () => /[1-9]/.test((await text("#running dl > div:nth-child(4) dd")) ?? ""));
  await pictures("running");
  await click("#running button");
  await shows("the question", "#ask-text", "safe point");
  await click("#ask-yes");
  await shows("the end of the run", "#runs", "cancelled");
  await shows("the state", "#state", "No run is in progress");

  await fill("#audit-run", (await page.value(`document.querySelector("#runs a").href`)).split("/").at(-2));
  await click("#audit-form button");
  await shows("deleted keys", "#audit", "deleted");
  await shows("figures of the cache", "#cache", "Hit rate");
  await pictures("page");

  const report = await page.value(`document.querySelector("#runs a").href`);
  await page.send("Page.navigate", { url: report });
  await shows("the report", "h1", "PermissionCacheCleanup");
  await page.send("Page.navigate", { url: `${base}/` });
  await shows("the page again", "#freshness", "Live");
  await click("#logout");
  await until("the login again", () => page.value(`document.querySelector("#token") !== null`));
}

try {
  await tour();
} catch (error) {
  problems.push(error.message);
}
await page.close();
for (const problem of problems) console.error(problem);
process.exit(problems.length ? 1 : 0);
