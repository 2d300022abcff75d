//! A permission cache: users, their projects, groups and roles, the sessions of the same application, and the queue of
//! the job that cleans the cache.

use super::web_shop::QUEUE_STATE;
use super::{DAY_MS, KeyPopulation, MINUTE_MS, Namespace, TtlShape, ValueShape, Wanted, ids};

/// A permission cache. Some writes forget the TTL; roles and what the system itself needs have none on purpose.
pub static PERMISSION_CACHE: KeyPopulation =
    KeyPopulation { name: "permission cache", namespaces: &NAMESPACES, fixtures };

const QUEUE: &str = "bull:permission-cache-cleanup";

const SYSTEM: [&str; 8] =
    ["admin", "auditor", "billing", "exports", "imports", "mailer", "scheduler", "search"];

fn fixtures() -> Vec<String> {
    let states = QUEUE_STATE.map(|state| format!("{QUEUE}:{state}"));
    let repeated = [
        "repeat",
        "repeat:839d4be40c8b2f30fca6f860d0cf76f7",
        "repeat:839d4be40c8b2f30fca6f860d0cf76f7:1732860000000",
    ];
    let repeated = repeated.map(|state| format!("{QUEUE}:{state}"));
    let system = SYSTEM.map(|user| format!("permissions:system:{user}"));
    let others = ["permissions:warming", "permissions:metrics"].map(str::to_owned);
    states.into_iter().chain(repeated).chain(system).chain(others).collect()
}

static NAMESPACES: [Namespace; 8] = [
    Namespace {
        template: "permissions:user:{id}",
        pattern: "permissions:user:*",
        share: 3_800,
        ttl: TtlShape::Forgotten(8, 15 * MINUTE_MS),
        wanted: Wanted::WithTtl,
        value: ValueShape::Set(8),
        key: |_, n| format!("permissions:user:{}", 10_000 + n),
    },
    Namespace {
        template: "permissions:user:{id}:project:{id}",
        pattern: "permissions:user:*:project:*",
        share: 3_000,
        ttl: TtlShape::Forgotten(10, 15 * MINUTE_MS),
        wanted: Wanted::WithTtl,
        value: ValueShape::Text(16),
        key: |rng, n| format!("permissions:user:{}:project:{}", 10_000 + n, rng.u32(1..900)),
    },
    Namespace {
        template: "permissions:group:{hex}",
        pattern: "permissions:group:*",
        share: 1_200,
        ttl: TtlShape::UpTo(15 * MINUTE_MS),
        wanted: Wanted::All,
        value: ValueShape::Set(12),
        key: |rng, _| format!("permissions:group:{}", ids::hex(rng, 24)),
    },
    Namespace {
        template: "permissions:role:{name}",
        pattern: "permissions:role:*",
        share: 100,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Set(20),
        key: |rng, n| format!("permissions:role:{}", ids::slug(rng, n)),
    },
    Namespace {
        template: "permissions:lock:{id}",
        pattern: "permissions:lock:*",
        share: 50,
        ttl: TtlShape::UpTo(5 * MINUTE_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(36),
        key: |_, n| format!("permissions:lock:{}", 10_000 + n),
    },
    Namespace {
        template: "bull:permission-cache-cleanup:{id}",
        pattern: "bull:permission-cache-cleanup:*",
        share: 200,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Hash(7),
        key: |_, n| format!("{QUEUE}:{}", 1 + n),
    },
    Namespace {
        template: "session:{id}",
        pattern: "session:*",
        share: 1_500,
        ttl: TtlShape::UpTo(DAY_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(240),
        key: |rng, _| format!("session:{}", ids::uuid(rng)),
    },
    Namespace {
        template: "audit:{date}:{id}",
        pattern: "audit:*:*",
        share: 150,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Text(120),
        key: |rng, n| format!("audit:{}:{}", ids::date(rng.u64(..336)), 500_000 + n),
    },
];
