// Writes `generated/`: the TypeScript types of events, requests and responses, from the JSON Schemas that keysweep
// publishes. `npm run build` calls it. A copy of these programs elsewhere needs `docs/` of the same version of keysweep:
// `node types.mjs PATH`.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { compile } from "json-schema-to-typescript";

const docs = process.argv[2] ?? "../../docs";
const read = async (name) => JSON.parse(await readFile(`${docs}/${name}`, "utf8"));

async function write(name, schema) {
  const options = { additionalProperties: false, bannerComment: "", unreachableDefinitions: true };
  await writeFile(`generated/${name}.d.ts`, await compile(schema, name, options));
}

const events = await read("schemas/events.json");
// An alternative is `{ $ref, properties }`: both hold. The generator would take the second alone.
events.oneOf = events.oneOf.map(({ $ref, properties }) => ({ allOf: [{ $ref }, { properties }] }));

// The schemas of the API stand where OpenAPI wants them.
const text = JSON.stringify((await read("openapi.json")).components.schemas);
const $defs = JSON.parse(text.replaceAll("#/components/schemas/", "#/$defs/"));

await mkdir("generated", { recursive: true });
await write("events", events);
await write("api", { title: "Api", type: "object", $defs });
