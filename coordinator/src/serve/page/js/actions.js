// What a person does: log in and out, start a run, stop it.

import { by, setText } from "./dom.js";
import { post } from "./service.js";
import { capital } from "./text.js";

/** Shows what a form has to say, or an error. */
export function say(id, text, bad = false) {
  const place = by(id);
  place.className = bad ? "said bad" : "said";
  place.textContent = capital(text);
}

/** Calls `work` with the fields of a form when it is sent, once at a time; errors are shown at `said`. */
export function onSubmit(id, said, work) {
  const button = by(id)?.querySelector("button");
  if (!button) return;
  // Before, the browser would send the form by itself.
  button.disabled = false;
  let isBusy = false;
  by(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    // `disabled` would take the focus away.
    button.setAttribute("aria-disabled", "true");
    say(said, "");
    try {
      await work(new FormData(by(id)));
    } catch (error) {
      say(said, error.message, true);
    } finally {
      isBusy = false;
      button.removeAttribute("aria-disabled");
    }
  });
}

/** Asks for confirmation; resolves to whether it is given. */
function confirmed(title, text, yes) {
  const dialog = by("ask");
  setText(by("ask-title"), title);
  setText(by("ask-text"), text);
  setText(by("ask-yes"), yes);
  return new Promise((resolve) => {
    const end = (answer) => () => {
      resolve(answer);
      dialog.close();
    };
    by("ask-yes").onclick = end(true);
    by("ask-no").onclick = end(false);
    dialog.onclose = () => resolve(false);
    dialog.showModal();
    by("ask-no").focus();
  });
}

export async function cancel(run) {
  const text = `The run of ${run.job} stops at a safe point. What it has deleted stays deleted; the result names what is left.`;
  if (!(await confirmed("Stop this run?", text, "Stop the run"))) return;
  say("stop-said", "");
  try {
    await post(`api/runs/${encodeURIComponent(run.runId)}/cancel`, { cause: "by a person on the page" });
  } catch (error) {
    say("stop-said", `The run of ${run.job} was not stopped: ${error.message}`, true);
  }
}

const ACTIONS = {
  delete: "deletes keys without a TTL that match the patterns of the job",
  expire: "gives a TTL to keys without one that match the patterns of the job",
  report: "counts keys and changes nothing, because its action is `report`",
  rules: "does what each rule of the job states with its keys: it deletes them, sees to their TTLs, or reports them",
};

/** Starts a run by the fields of its form; `jobs` are those of the service. */
export async function start(form, jobs) {
  const name = form.get("job");
  const isDry = form.get("kind") !== "real";
  if (!isDry) {
    const job = jobs.find((job) => job.job === name);
    const does = job?.dryRun ? "counts keys and changes nothing, as it is configured" : ACTIONS[job?.action];
    const text = `The run ${does ?? "does what the job is configured to do"}. It keeps to the guards of the job.`;
    if (!(await confirmed(`Start a run of ${name}?`, text, "Start the run"))) return;
  }
  say("start-said", "The run is being planned…");
  const request = { job: name, startedBy: "the page" };
  if (isDry) request.dryRun = true;
  const begun = await post("api/runs", request);
  say("start-said", `Run ${begun.runId} has ${begun.left ? "gone on" : "begun"}.`);
}

export async function logIn(form) {
  await post("login", { token: form.get("token") });
  location.reload();
}

export async function logOut() {
  await post("logout", {}).catch(() => {});
  location.reload();
}
