// Follows keysweep's events over NATS and prints how runs ended, alerts, and missed schedules, one line for each.
//
//   NATS_URL=nats://nats:4222 node dist/subscriber.js [CONSUMER]
//
// CONSUMER is the name of a durable consumer, by default `example`. The server remembers how far it is, so the program
// continues there after a pause (events are kept for seven days), and several processes with the same name share the work.
// The consumer is created if it does not exist and the login may do so. `docs/programs.md` explains the rest.
import { AckPolicy, jetstream, jetstreamManager, type Consumer, type JsMsg } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Event } from "./generated/events.js";
import { Handled } from "./handled.js";
import { connectToNats, fail, reason } from "./nats.js";

// With another `--nats-prefix`, all names start with that prefix.
const PREFIX = "keysweep";
const STREAM = `${PREFIX.toUpperCase()}_EVENTS`;
const SUBJECTS = `${PREFIX}.events.>`;
/** How long the server waits for an acknowledgement before it delivers an event again. */
const ACK_WAIT_MS = 30_000;
/** How long it waits after an event that could not be handled. */
const RETRY_AFTER_MS = 5_000;

async function main(name = "example"): Promise<void> {
  const handled = new Handled(`${name}.handled`);
  const nc = await connectToNats("keysweep-subscriber");
  void logConnection(nc);
  const consumer = await durableConsumer(nc, name);
  // Asks for more as messages are taken, and again after the connection was lost.
  const messages = await consumer.consume({ max_messages: 16, abort_on_missing_resource: true });
  // The message in hand is finished. Those that were only received are delivered again.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void messages.close());
  console.error(`following \`${SUBJECTS}\` as \`${name}\``);
  for await (const message of messages) take(message, handled);
  // Sends the last acknowledgements, if NATS is there; without them, the events are delivered again.
  await nc.drain().catch(() => nc.close());
}

/** Handles a message, and says so to the server last: after a crash before that, it is delivered again. */
function take(message: JsMsg, handled: Handled): void {
  const event = parse(message);
  if (event === null) {
    console.error(`warning: message ${message.seq} is no event, and is left out`);
    // Without a reason: servers before 2.10 would not understand it.
    return message.term();
  }
  try {
    if (!handled.has(event.id)) {
      handle(event);
      handled.add(event.id);
    }
  } catch (error) {
    console.error(`warning: event \`${event.id}\` failed, and is tried again: ${reason(error)}`);
    return message.nak(RETRY_AFTER_MS);
  }
  message.ack();
}

/** The event in a message, or null. What comes from elsewhere is not believed; the schema says what keysweep sends. */
function parse(message: JsMsg): Event | null {
  try {
    const event = message.json<Event>();
    return typeof event.id === "string" && typeof event.type === "string" ? event : null;
  } catch {
    return null;
  }
}

/** The effect; here it prints a line. */
function handle(event: Event): void {
  const job = event.source.split("/").pop();
  switch (event.type) {
    case "dev.keysweep.run.completed.v1":
    case "dev.keysweep.run.partial.v1":
    case "dev.keysweep.run.failed.v1":
    case "dev.keysweep.run.cancelled.v1": {
      const { data } = event;
      // An attempt that failed before it had a run has no counts.
      const counts =
        "cleanedKeys" in data
          ? `${data.scannedKeys} keys, ${data.staleTTLKeys} stale, ${data.cleanedKeys} deleted`
          : data.issues.join("; ");
      return console.log(`${job} ${event.subject} ${data.status}: ${counts}`);
    }
    case "dev.keysweep.alert.raised.v1":
    case "dev.keysweep.alert.resolved.v1":
      return console.log(`${job} alert ${event.data.change}: ${event.data.severity}: ${event.data.message}`);
    case "dev.keysweep.run.missed.v1":
      return console.log(`${job} missed ${event.data.count} runs, the last at ${event.data.last}`);
    default:
    // Other types, and those that later versions add, are none of this program's business.
  }
}

/** The consumer; it is created if it does not exist. */
async function durableConsumer(nc: NatsConnection, name: string): Promise<Consumer> {
  // In the own account, or imported from keysweep's account as in `deploy/nats-account.conf`.
  for (const domain of [undefined, PREFIX]) {
    const options = { ...(domain && { domain }), checkAPI: false };
    const manager = await jetstreamManager(nc, options);
    if (!(await exists(manager.streams.info(STREAM)))) continue;
    if (!(await exists(manager.consumers.info(STREAM, name)))) {
      const wanted = { durable_name: name, ack_policy: AckPolicy.Explicit, filter_subject: SUBJECTS };
      await manager.consumers.add(STREAM, { ...wanted, ack_wait: ACK_WAIT_MS * 1_000_000 }).catch((cause) => {
        const create = `nats consumer add ${STREAM} ${name} --pull --ack explicit --deliver all --filter '${SUBJECTS}' --defaults`;
        throw new Error(`failed to create the consumer \`${name}\`: ${reason(cause)}; create it with a login that may: ${create}`);
      });
    }
    return jetstream(nc, options).consumers.get(STREAM, name);
  }
  throw new Error(`there is no stream \`${STREAM}\`: create it with \`keysweep nats setup --apply\`, or check the login and the prefix`);
}

/** Whether what `info` asks for exists. */
async function exists(info: Promise<unknown>): Promise<boolean> {
  return info.then(
    () => true,
    () => false,
  );
}

/** Logs when the connection is lost and made again, and ends the program when it is gone for good. */
async function logConnection(nc: NatsConnection): Promise<void> {
  void nc.closed().then((error) => error && fail(`the connection to NATS has ended: ${reason(error)}`));
  for await (const status of nc.status()) {
    if (status.type === "disconnect" || status.type === "reconnect") console.error(`NATS: ${status.type}`);
  }
}

await main(process.argv[2]).catch(fail);
