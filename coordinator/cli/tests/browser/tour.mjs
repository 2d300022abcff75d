// A person's tour of the page: log in, start a dry run and watch it, start a run and stop it, read its report, search the
// audit, see what happens when the service is killed in the middle of a run, log out.
import {
  base, deletes, expecting, problems, reducesMotion, request, shows, token, tour, until, view, withoutScripts,
} from "./page.mjs";

/** The primaries of the cluster. */
const NODES = 3;

/** What the browser reports of a service that is away, or has forgotten the session. */
const AWAY = /net::ERR_|status of 401/;

async function logIn(page) {
  await page.locator("#token").fill(token);
  await page.locator("#login button").click();
  await shows(page, "#freshness", "Live");
}

async function startRun(page, kind) {
  await page.locator(`#start [name="kind"][value="${kind}"]`).check();
  await page.locator("#start button[type=submit]").click();
}

/** Starts a run that deletes keys, and waits until it does. */
async function startCleanup(page, seeQuestion = async () => {}) {
  await startRun(page, "real");
  await shows(page, "#ask-text", "deletes keys");
  await seeQuestion();
  await page.locator("#ask-yes").click();
  await deletes(page);
}

async function stopRun(page) {
  await page.locator("#running").getByRole("button", { name: /^Stop/ }).click();
  await shows(page, "#ask-text", "safe point");
  await page.locator("#ask-yes").click();
  await shows(page, "#state", "No run is in progress");
}

/** The page lists every run of the history. */
async function listsAll(page) {
  const { runs } = await page.evaluate(async () => (await fetch("api/runs")).json());
  const links = await page.locator("#runs a").evaluateAll((links) => links.map((link) => link.href));
  for (const { runId } of runs) {
    if (!links.some((link) => link.includes(runId))) problems.push(`run ${runId} is not on the page`);
  }
}

tour(async (page) => {
  await page.goto(`${base}/`);
  await page.locator("#token").waitFor();
  await expecting(/status of 401/, async () => {
    await page.locator("#token").fill("hunter2-wrong");
    await page.locator("#login button").click();
    await shows(page, "#login-said", "This is not a token of this service");
  });
  await view(page, "login");
  await withoutScripts(page, "/", async (plain) => {
    await shows(plain, "noscript p", "Logging in needs JavaScript");
    // Otherwise it would send the token in a way that the service does not accept.
    await plain.locator("#login button:disabled").waitFor();
  });
  await logIn(page);
  await reducesMotion(page);

  await startRun(page, "dry");
  await shows(page, "#state", "In progress: permission-cache-cleanup (dry run).");
  await shows(page, "#runs", "completed");

  await startCleanup(page, () => view(page, "question", { fullPage: false }));
  const strips = await page.locator("#running .strip").count();
  if (strips !== NODES) problems.push(`${strips} strips for ${NODES} nodes`);
  await view(page, "running");
  await stopRun(page);
  await shows(page, "#runs", "cancelled");

  const report = await page.locator("#runs a").first().evaluate((link) => link.href);
  await page.locator("#audit-run").fill(report.split("/").at(-2));
  await page.locator("#audit-form button").click();
  await shows(page, "#audit", "deleted");
  await shows(page, "#cache", "Hit rate");
  await view(page, "page");

  // No script runs in it, ours included: a copy without its policy is looked at.
  const html = await (await page.goto(report)).text();
  const copy = await page.context().browser().newPage();
  await copy.setContent(html);
  await shows(copy, "h1", "PermissionCacheCleanup");
  await view(copy, "report");
  await copy.close();
  await page.goto(`${base}/`);
  await shows(page, "#freshness", "Live");

  await startCleanup(page);
  await expecting(AWAY, async () => {
    await request("kill");
    await shows(page, "#freshness", "The connection is lost");
    await view(page, "away");
    await request("start");
    await page.locator("#token").waitFor({ timeout: 60_000 });
  });
  await logIn(page);
  await shows(page, "#runs", "interrupted");
  await until("the next attempt", () => page.locator("#running article").count());
  await stopRun(page);
  await listsAll(page);

  await page.locator("#logout").click();
  await page.locator("#token").waitFor();
});
