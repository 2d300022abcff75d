// A client of `keysweep serve`, over NATS and over HTTP: `runCleanupNow({ … })` and `getCleanupStatistics()`. Requests and
// responses have the types of the API's schemas, and are the same over both.
import { RequestError, type NatsConnection } from "@nats-io/transport-node";
import type { RunAnswer, RunRequest, Statistics } from "./generated/api.js";

export type { RunAnswer, RunRequest, Statistics };

/** How long to wait for a response: the service looks at every node of Redis before it starts a run. */
const PATIENCE_MS = 300_000;

export interface Keysweep {
  /**
   * Starts a run, and returns its id as soon as it is stored. How it ended is an event (`subscriber.ts`), and over HTTP
   * also at `/api/runs/<id>`. A request can be gentler than its job, not more than that.
   */
  runCleanupNow(options?: RunRequest): Promise<RunAnswer>;
  getCleanupStatistics(): Promise<Statistics>;
}

/** What to do about a status, besides what the reason says. */
const WAYS_OUT: Record<number, string> = {
  401: "check the token",
  409: "wait for the run in progress to end, or cancel it",
  429: "check the token, and try again in a minute",
  503: "try again in a moment",
};

/** The service did not do what it was asked for. */
export class Refused extends Error {
  constructor(readonly status: number, why: string) {
    const wayOut = WAYS_OUT[status];
    super(`keysweep refused the request (${status}): ${why}${wayOut ? `; ${wayOut}` : ""}`);
  }
}

/** No response came. A run may have been started all the same. */
export class Unanswered extends Error {
  constructor(where: string, cause: unknown) {
    const why = cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : cause;
    super(
      `no answer from ${where}: ${why}; check the address, and look at \`keysweep runs list\` before you repeat it, because ` +
        "a request that was received is carried out",
      { cause },
    );
  }
}

/** A service at `url`, the `--admin-addr` of `keysweep serve`, with its `api_token`. */
export function overHttp(url: string, token: string): Keysweep {
  async function ask<T>(method: string, path: string, body?: object): Promise<T> {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const sent = fetch(new URL(path, url), { method, headers, signal, ...(body && { body: JSON.stringify(body) }) });
    const response = await sent.catch((cause) => {
      throw new Unanswered(`\`${url}\``, cause);
    });
    const text = await response.text();
    if (!response.ok) throw new Refused(response.status, errorIn(text) ?? response.statusText);
    return JSON.parse(text) as T;
  }
  return {
    runCleanupNow: (options = {}) => ask("POST", "/api/runs", options),
    getCleanupStatistics: () => ask("GET", "/api/stats"),
  };
}

/** The reason in an error response; a proxy in between may send none. */
function errorIn(text: string): string | undefined {
  try {
    return JSON.parse(text).error;
  } catch {
    return undefined;
  }
}

/** The service in the NATS account of the connection. With another `--nats-prefix`, pass that. */
export function overNats(nc: NatsConnection, prefix = "keysweep"): Keysweep {
  async function ask<T>(what: string, body: object): Promise<T> {
    const sent = nc.request(`${prefix}.api.${what}`, JSON.stringify(body), { timeout: PATIENCE_MS });
    const reply = await sent.catch((cause) => {
      if (cause instanceof RequestError && cause.isNoResponders()) {
        throw new Refused(503, `no \`keysweep serve\` listens at \`${prefix}.api.${what}\`: is it running, with this NATS?`);
      }
      throw new Unanswered("NATS", cause);
    });
    const status = reply.headers?.get("Nats-Service-Error-Code");
    if (status) throw new Refused(Number(status), reply.headers?.get("Nats-Service-Error") ?? "");
    return reply.json<T>();
  }
  return {
    runCleanupNow: (options = {}) => ask("run", options),
    getCleanupStatistics: () => ask("stats", {}),
  };
}
