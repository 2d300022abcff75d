// The page without a login, when the service is killed and started again: it connects by itself, and shows what happened
// meanwhile.
import { base, expecting, problems, request, shows, tour, view, withoutScripts } from "./page.mjs";

tour(async (page) => {
  await page.goto(`${base}/`);
  await shows(page, "#freshness", "Live");
  await shows(page, "#no-runs", "No run");
  await view(page, "reader");
  await page.evaluate(() => {
    window.isSamePage = true;
  });
  await expecting(/net::ERR_/, async () => {
    await request("kill");
    await shows(page, "#freshness", "The connection is lost");
    await request("run");
    await request("start");
    await shows(page, "#freshness", "Live");
  });
  await shows(page, "#runs", "completed");
  await request("run");
  await page.locator("#runs tr").nth(1).waitFor();
  await withoutScripts(page, "/", async (plain) => {
    await shows(plain, "noscript p", "Without JavaScript, this page shows the last runs and the schedule");
    await shows(plain, "#runs", "completed");
    await shows(plain, "#schedule", "permission-cache-cleanup");
    // What needs scripts is not offered.
    for (const form of await plain.locator("form, button").all()) {
      if (await form.isVisible()) problems.push(`without scripts, ${await form.innerText()} is offered`);
    }
    const wide = await plain.locator("main").evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) problems.push(`without scripts, the page is ${wide} px too wide`);
  });
  if (!(await page.evaluate(() => window.isSamePage))) problems.push("the page was loaded again");
});
