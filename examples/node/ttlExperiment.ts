// Which TTL a user's keys get in an experiment of `keysweep ttl experiment`.
//
//     node dist/ttlExperiment.js redis://127.0.0.1:6379 keysweep:ttl:permission-cache-cleanup 3600000 alice bob
//
// prints the TTL of each user in milliseconds; 3600000 is that of today. In your own program:
//
//     const ttls = new ExperimentTtl(() => redis.hGetAll("keysweep:ttl:permission-cache-cleanup"), 3_600_000);
//     await redis.set(key, value, { expiration: { type: "PX", value: await ttls.of(user) } });
import { pathToFileURL } from "node:url";
import { xxh3 } from "@node-rs/xxhash";
import { createClient } from "redis";
import { fail, reason } from "./nats.js";

const READ_EVERY_MS = 5_000;

/** Without a successful read for this long, keys get the TTL of today. */
const FORGOTTEN_AFTER_MS = 60_000;

/** Buckets from `from` to below `to` have this TTL, in milliseconds, in even periods. */
interface Arm {
  from: number;
  to: number;
  ttl: number;
}

/** The published hash. */
export class Assignment {
  readonly #salt: Buffer;
  readonly #buckets: bigint;
  readonly #start: number;
  readonly #until: number;
  readonly #period: number;
  readonly #arms: [Arm, Arm];

  private constructor(fields: Record<string, string>) {
    const field = (name: string): string => {
      const text = fields[name];
      if (text === undefined) throw new Error(`the field \`${name}\` is missing`);
      return text;
    };
    const whole = (name: string): number => {
      const found = Number(field(name));
      if (!Number.isSafeInteger(found)) throw new Error(`the field \`${name}\` is not a number`);
      return found;
    };
    this.#salt = Buffer.from(field("salt"));
    this.#buckets = BigInt(whole("buckets"));
    [this.#start, this.#until, this.#period] = [whole("start"), whole("until"), whole("period")];
    this.#arms = JSON.parse(field("arms")) as [Arm, Arm];
  }

  /** Undefined if there is no experiment, or one of another version. */
  static parse(fields: Record<string, string>): Assignment | undefined {
    return fields.version === "1" ? new Assignment(fields) : undefined;
  }

  bucket(user: Buffer): number {
    return Number(xxh3.xxh64(Buffer.concat([this.#salt, user])) % this.#buckets);
  }

  /** Undefined before the experiment and after it. */
  ttlMs(user: Buffer, now: number): number | undefined {
    if (now < this.#start || now >= this.#until) return undefined;
    const bucket = this.bucket(user);
    const [first] = this.#arms;
    const own = first.from <= bucket && bucket < first.to ? 0 : 1;
    const period = Math.floor((now - this.#start) / this.#period);
    return this.#arms[(own + period) % 2]?.ttl;
  }
}

/** The TTL of users, from a hash that is read every few seconds. `read` returns its fields. */
export class ExperimentTtl {
  #assignment: Assignment | undefined;
  #tried = -Infinity;
  #succeeded = -Infinity;

  constructor(
    readonly read: () => Promise<Record<string, string>>,
    readonly todayMs: number,
  ) {}

  /** In milliseconds. `user` is the id as it is in the key. */
  async of(user: string | Buffer): Promise<number> {
    const now = performance.now();
    if (now - this.#tried >= READ_EVERY_MS) {
      this.#tried = now;
      try {
        this.#assignment = Assignment.parse(await this.read());
        this.#succeeded = now;
      } catch (error) {
        console.error(`the experiment cannot be read: ${reason(error)}`);
      }
    }
    if (now - this.#succeeded >= FORGOTTEN_AFTER_MS) return this.todayMs;
    return this.#assignment?.ttlMs(Buffer.from(user as string), Date.now()) ?? this.todayMs;
  }
}

async function main([url, key, todayMs, ...users]: string[]): Promise<void> {
  if (url === undefined || key === undefined) throw new Error("pass URL, KEY, today's TTL in ms, and users");
  const redis = createClient({ url });
  redis.on("error", () => {});
  await redis.connect();
  const ttls = new ExperimentTtl(() => redis.hGetAll(key), Number(todayMs));
  for (const user of users) console.log(user, await ttls.of(user));
  await redis.close();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main(process.argv.slice(2)).catch(fail);
