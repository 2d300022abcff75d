//! A web shop with a Node.js front end: sessions, carts, pages and products in a cache, and BullMQ queues.

use super::{DAY_MS, HOUR_MS, KeyPopulation, MINUTE_MS, Namespace, TtlShape, ValueShape, Wanted, ids};

/// A web shop. Its carts and its page cache forget TTLs; its profiles, counters and queues have none on purpose.
pub static WEB_SHOP: KeyPopulation = KeyPopulation { name: "web shop", namespaces: &NAMESPACES, fixtures };

const QUEUES: [&str; 5] = ["email", "image-resize", "order-confirmation", "invoice-pdf", "newsletter"];

/// The keys of each BullMQ queue besides its jobs.
pub(super) const QUEUE_STATE: [&str; 12] = [
    "meta",
    "id",
    "wait",
    "active",
    "completed",
    "failed",
    "delayed",
    "prioritized",
    "events",
    "marker",
    "pc",
    "stalled-check",
];

fn fixtures() -> Vec<String> {
    let states = QUEUES.iter().flat_map(|queue| QUEUE_STATE.map(|state| format!("bull:{queue}:{state}")));
    let others = ["feature-flags", "config:shipping", "config:tax", "config:payment", "shop:version"];
    states.chain(others.map(str::to_owned)).collect()
}

static NAMESPACES: [Namespace; 15] = [
    Namespace {
        template: "sess:{id}",
        pattern: "sess:*",
        share: 2_200,
        ttl: TtlShape::UpTo(DAY_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(240),
        key: |rng, _| format!("sess:{}", ids::token(rng, 32)),
    },
    Namespace {
        template: "cart:{id}",
        pattern: "cart:*",
        share: 1_200,
        ttl: TtlShape::Forgotten(35, 7 * DAY_MS),
        wanted: Wanted::WithTtl,
        value: ValueShape::Hash(4),
        key: |rng, _| format!("cart:{}", ids::uuid(rng)),
    },
    Namespace {
        template: "cache:page:{hex}",
        pattern: "cache:page:*",
        share: 2_000,
        ttl: TtlShape::Forgotten(30, HOUR_MS),
        wanted: Wanted::WithTtl,
        value: ValueShape::Text(900),
        key: |rng, _| format!("cache:page:{}", ids::hex(rng, 32)),
    },
    Namespace {
        template: "cache:product:{id}",
        pattern: "cache:product:*",
        share: 1_000,
        ttl: TtlShape::UpTo(15 * MINUTE_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(400),
        key: |_, n| format!("cache:product:{}", 1_000 + n),
    },
    Namespace {
        template: "product:{id}:views",
        pattern: "product:*:views",
        share: 700,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Text(4),
        key: |_, n| format!("product:{}:views", 1_000 + n),
    },
    Namespace {
        template: "product:{id}:stock",
        pattern: "product:*:stock",
        share: 500,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Text(3),
        key: |_, n| format!("product:{}:stock", 1_000 + n),
    },
    Namespace {
        template: "page:/products/{slug}",
        pattern: "page:/products/*",
        share: 300,
        ttl: TtlShape::UpTo(DAY_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(700),
        key: |rng, n| format!("page:/products/{}", ids::slug(rng, n)),
    },
    Namespace {
        template: "user:{id}:profile",
        pattern: "user:*:profile",
        share: 800,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Hash(6),
        key: |_, n| format!("user:{}:profile", 10_000 + n),
    },
    Namespace {
        template: "user:{id}:wishlist",
        pattern: "user:*:wishlist",
        share: 400,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Set(5),
        key: |_, n| format!("user:{}:wishlist", 10_000 + 2 * n),
    },
    Namespace {
        template: "bull:{queue}:{id}",
        pattern: "bull:*:*",
        share: 590,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Hash(7),
        key: |_, n| format!("bull:{}:{}", QUEUES[(n % 5) as usize], 1 + n / 5),
    },
    Namespace {
        template: "bull:{queue}:{id}:logs",
        pattern: "bull:*:*:logs",
        share: 90,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Text(90),
        key: |_, n| format!("bull:{}:{}:logs", QUEUES[(n % 5) as usize], 1 + n / 5),
    },
    Namespace {
        template: "rl:login:{ip}",
        pattern: "rl:login:*",
        share: 150,
        ttl: TtlShape::UpTo(15 * MINUTE_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(1),
        key: |rng, _| format!("rl:login:{}", ids::ip(rng)),
    },
    Namespace {
        template: "lock:order:{id}",
        pattern: "lock:order:*",
        share: 50,
        ttl: TtlShape::UpTo(5 * MINUTE_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(36),
        key: |_, n| format!("lock:order:{}", 900_000 + n),
    },
    Namespace {
        template: "stats:visitors:{date}",
        pattern: "stats:visitors:*",
        share: 10,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Text(300),
        key: |_, n| format!("stats:visitors:{}", ids::date(n)),
    },
    Namespace {
        template: "unsubscribe_token_{hex}",
        pattern: "unsubscribe_token_*",
        share: 10,
        ttl: TtlShape::UpTo(7 * DAY_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(12),
        key: |rng, _| format!("unsubscribe_token_{}", ids::hex(rng, 40)),
    },
];
