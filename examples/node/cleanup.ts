// Starts a run now, over HTTP if the address of a service is given, otherwise over NATS; or prints the statistics.
//
//   KEYSWEEP_API_TOKEN=… node dist/cleanup.js http://127.0.0.1:9464 '{"dryRun": true}'
//   NATS_URL=nats://nats:4222 node dist/cleanup.js '{"job": "permission-cache-cleanup", "generateReport": true}'
//   NATS_URL=nats://nats:4222 node dist/cleanup.js stats
import { overHttp, overNats, type Keysweep, type RunRequest } from "./keysweep.js";
import { connectToNats, fail, reason } from "./nats.js";

async function main(args: string[]): Promise<void> {
  const url = /^https?:/.test(args[0] ?? "") ? args.shift() : undefined;
  const what = args[0] ?? "{}";
  if (url) return act(overHttp(url, process.env.KEYSWEEP_API_TOKEN ?? ""), what);
  const nc = await connectToNats("keysweep-client");
  await act(overNats(nc), what).finally(() => nc.close());
}

async function act(keysweep: Keysweep, what: string): Promise<void> {
  if (what === "stats") {
    const { jobQueue, cacheHealth } = await keysweep.getCleanupStatistics();
    return console.log(JSON.stringify({ jobQueue, cacheHealth }, null, 2));
  }
  const { runId, left } = await keysweep.runCleanupNow(options(what));
  console.log(`${left ? "resumed" : "started"} run ${runId}`);
}

function options(text: string): RunRequest {
  try {
    return JSON.parse(text) as RunRequest;
  } catch (cause) {
    throw new Error(`\`${text}\` is not JSON: ${reason(cause)}; pass an object, such as '{"dryRun": true}', or stats`);
  }
}

await main(process.argv.slice(2)).catch(fail);
