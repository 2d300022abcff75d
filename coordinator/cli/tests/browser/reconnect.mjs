// The page without a login, when the service is killed and started again: it connects by itself, and shows what happened
// meanwhile.
import { base, expecting, problems, request, shows, tour, view } from "./page.mjs";

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
  if (!(await page.evaluate(() => window.isSamePage))) problems.push("the page was loaded again");
});
