// The ids of the events that were handled, in a file, so that an event that is delivered again, even after a restart, has
// no second effect. A program whose effect is in a database does better: a unique column for the id, written in the
// transaction of the effect. With a file, a crash between the two repeats the effect once.
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

/** Ids to keep: more than the stream of events, 16 MiB at most, has room for. */
const KEPT = 100_000;

export class Handled {
  readonly #ids: Set<string>;

  constructor(readonly path: string) {
    const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
    this.#ids = new Set(lines.filter((line) => line !== "").slice(-KEPT));
    // Without the older ones, and without the rest of a line that was being written in a crash.
    writeFileSync(`${path}.new`, [...this.#ids, ""].join("\n"));
    renameSync(`${path}.new`, path);
  }

  has(id: string): boolean {
    return this.#ids.has(JSON.stringify(id));
  }

  add(id: string): void {
    // As JSON, an id is one line.
    appendFileSync(this.path, `${JSON.stringify(id)}\n`);
    this.#ids.add(JSON.stringify(id));
  }
}
