// Requests to the service, and its live data.

/** Asks the service; throws an `Error` with its reason. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Error("the service does not answer");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  if (answer.status === 401 && document.body.dataset.role) location.reload();
  throw new Error(body.error ?? `the service answered with status ${answer.status}`);
}

export const post = (path, body) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Keysweep": "page" },
    body: JSON.stringify(body),
  });

/** Of overlapping work, only what began last counts. Each call begins some; returns whether it is still the last one. */
export function lastOnly() {
  let last = 0;
  return () => {
    const mine = ++last;
    return () => mine === last;
  };
}

const AGAIN_MS = 5_000;

/** The page after a `snapshot`, which is the whole of it, or a `patch`, which has the parts that have changed. */
export const pageAfter = (page, event, data) => (event === "snapshot" ? data : { ...page, ...data });

/** Follows the service: calls `show` with each state of the page, and `say` with how the connection is. */
export function follow(show, say) {
  const source = new EventSource("api/live");
  let page = {};
  const take = (event) => {
    page = pageAfter(page, event.type, JSON.parse(event.data));
    say("Live: this page follows the service.");
    show(page);
  };
  source.addEventListener("snapshot", take);
  source.addEventListener("patch", take);
  source.addEventListener("error", async () => {
    say("The connection is lost, and this may be old. Trying again.");
    // The browser itself tries again after a lost connection, but not after a refusal.
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    try {
      // Whether the session has ended.
      await ask("api/runs?limit=1");
      say("The service does not send live data at the moment. Trying again.");
    } catch {
      // The same, later.
    }
    setTimeout(() => follow(show, say), AGAIN_MS);
  });
}
