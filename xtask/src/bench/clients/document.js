// The cleanup of the source document, "Permission Cache Cleanup Job", as written there: its SCAN, its TTL
// for each key, its deletion in batches of 100. Its argument is the address of one server.

const Redis = require('ioredis');

async function cleanup(redis, scanBatchSize = 100) {
  // Step 1: key scanning.
  const allKeys = [];
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', 'permissions:*', 'COUNT', scanBatchSize);
    cursor = next;
    allKeys.push(...keys);
  } while (cursor !== '0');

  // Step 2: TTL verification.
  const keysToDelete = [];
  for (const key of allKeys) {
    const ttl = await redis.ttl(key);
    if (ttl === -1) {
      keysToDelete.push(key);
    }
  }

  // Step 4: batch deletion.
  for (let i = 0; i < keysToDelete.length; i += 100) {
    await redis.del(...keysToDelete.slice(i, i + 100));
  }
}

async function main() {
  const redis = new Redis(process.argv[2]);
  try {
    await cleanup(redis);
  } finally {
    redis.disconnect();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
