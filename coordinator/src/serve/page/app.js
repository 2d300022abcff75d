// The page of the service. It begins here.

import { cancel, logIn, logOut, onSubmit, start } from "./js/actions.js";
import { searchAudit } from "./js/audit.js";
import { cache } from "./js/cache.js";
import { by, element, redraw, setText } from "./js/dom.js";
import { showLists } from "./js/panels.js";
import { showRunning } from "./js/running.js";
import { follow } from "./js/service.js";

let jobs = [];

function show(page) {
  jobs = page.jobs;
  by("problem").hidden = !page.problem;
  setText(by("problem"), page.problem ? `This may be out of date: ${page.problem}` : "");
  const names = jobs.map((job) => job.job);
  for (const id of ["start-job", "cache-job"]) redraw(by(id), names, (all) => all.map((name) => element("option", name)));
  showRunning(page, cancel);
  showLists(page);
  cache.take(page);
}

function begin() {
  onSubmit("login", "login-said", logIn);
  if (!document.body.dataset.role) return;
  for (const id of ["start-section", "logout", "cache-form", "audit-form"]) if (by(id)) by(id).hidden = false;
  onSubmit("start", "start-said", (form) => start(form, jobs));
  onSubmit("audit-form", "audit-said", searchAudit);
  by("logout")?.addEventListener("click", logOut);
  cache.begin();
  follow(show, (text) => setText(by("freshness"), text));
}

begin();
