// Connects to NATS as the `nats` command line does: NATS_URL (several servers separated by commas), NATS_USER and
// NATS_PASSWORD or NATS_CREDS (a file), and NATS_CA (a file, for TLS).
import { readFileSync } from "node:fs";
import { connect, credsAuthenticator, type NatsConnection } from "@nats-io/transport-node";

/** Connects. Once connected, a lost connection is made again for as long as it takes. */
export async function connectToNats(name: string): Promise<NatsConnection> {
  const { NATS_URL: url = "nats://127.0.0.1:4222", NATS_USER, NATS_PASSWORD, NATS_CREDS, NATS_CA } = process.env;
  try {
    return await connect({
      name,
      servers: url.split(","),
      maxReconnectAttempts: -1,
      ...(NATS_USER && { user: NATS_USER, pass: NATS_PASSWORD ?? "" }),
      ...(NATS_CREDS && { authenticator: credsAuthenticator(readFileSync(NATS_CREDS)) }),
      ...(NATS_CA && { tls: { caFile: NATS_CA } }),
    });
  } catch (cause) {
    const check = "check that the server is running, and NATS_URL, NATS_USER and NATS_PASSWORD (or NATS_CREDS)";
    throw new Error(`failed to connect to NATS at \`${url}\`: ${reason(cause)}; ${check}`, { cause });
  }
}

/** What an error says. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Ends the program with an error: what went wrong, and what to do. */
export function fail(error: unknown): never {
  console.error(`error: ${reason(error)}`);
  process.exit(1);
}
