// The page of a service over NATS: its workers and queues, and a run that they do.
import { base, problems, request, shows, token, tour, until, view } from "./page.mjs";

const ROLES = ["reaper", "reporter", "scanner"];

/** The first cells of the rows of a table. */
const names = (page, body) => page.locator(`${body} tr > :first-child`).allInnerTexts();

tour(async (page) => {
  await page.goto(`${base}/`);
  await page.locator("#token").fill(token);
  await page.locator("#login button").click();
  await shows(page, "#freshness", "Live");
  // Workers say every five seconds that they are there.
  await until("the workers", async () => (await page.locator("#workers tr").count()) === ROLES.length);
  const roles = (await names(page, "#workers")).map((role) => role.toLowerCase()).sort();
  if (roles.join() !== ROLES.join()) problems.push(`the workers are ${roles}`);
  for (const part of ["#workers-here", "#no-workers"]) {
    const text = await page.locator(part).innerText();
    if (text && (await page.locator(part).isVisible())) problems.push(`${part} says: ${text}`);
  }
  const queues = await names(page, "#queues");
  if (!queues.length) problems.push("no queue is shown");

  await page.locator('#start [name="kind"][value="real"]').check();
  await page.locator("#start button[type=submit]").click();
  await page.locator("#ask-yes").click();
  await shows(page, "#runs", "completed");
  await view(page, "workers");

  const seen = (role) => page.locator("#workers tr", { hasText: new RegExp(`^${role}`, "i") }).locator("time");
  const last = async (role) => (await seen(role).getAttribute("datetime")) ?? "";
  const [gone, stays] = [await last("reaper"), await last("scanner")];
  await request("kill");
  await until("another note of the scanner", async () => (await last("scanner")) > stays);
  await until("and one more", async () => Date.parse(await last("scanner")) - Date.parse(await last("reaper")) > 4_000);
  if (Date.parse(await last("reaper")) - Date.parse(gone) > 6_000) problems.push("a worker that was killed is seen again");
});
