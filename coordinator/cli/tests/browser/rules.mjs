// The page of a job with rules: what a run of it does, asked before it starts, and a row for each rule while it goes on.
import { base, deletes, problems, shows, token, tour, until, view } from "./page.mjs";

/** The row of each rule. */
const rows = (page) =>
  page.locator("#running h4", { hasText: "What each rule does" }).locator("xpath=..").locator("tbody tr").evaluateAll((rows) =>
    rows.map((row) => {
      const [rule, owner, does, keys, candidates, done] = [...row.cells].map((cell) => cell.textContent);
      return { rule, owner, does, keys, candidates, done };
    })
  );

tour(async (page) => {
  await page.goto(`${base}/`);
  await page.locator("#token").fill(token);
  await page.locator("#login button").click();
  await shows(page, "#freshness", "Live");
  await page.locator('#start [name="kind"][value="real"]').check();
  await page.locator("#start button[type=submit]").click();
  await shows(page, "#ask-text", "what each rule of the job states");
  await page.locator("#ask-yes").click();
  await deletes(page);
  await until("what both rules did", async () => {
    const [deleting, lasting] = await rows(page);
    return deleting?.done.includes("deleted") && lasting?.done.includes("given a TTL");
  });
  const shown = await rows(page);
  const said = shown.map(({ rule, owner, does }) => [rule, owner, does].join(" | "));
  const expected = [
    "1. permissions:*1:documents | web | deletes",
    "2. permissions:* | accounts | sees to TTLs",
    "3. session:* | – | nothing",
  ];
  if (said.join("\n") !== expected.join("\n")) problems.push(`the rules are ${said.join("; ")}`);
  const [, , durable] = shown;
  if (durable.keys !== "0" || durable.done !== "–") problems.push(`a rule without keys has ${durable.keys}, ${durable.done}`);
  await page.locator("#running summary", { hasText: "Protect this" }).first().click();
  await shows(page, "#running .snippet", "[[job.rule]]");
  await view(page, "rules");
  await page.locator("#running").getByRole("button", { name: /^Stop/ }).click();
  await page.locator("#ask-yes").click();
  await shows(page, "#state", "No run is in progress");
});
