//! An application for many tenants, whose users have ids of five kinds, because it grew by taking over others.

use fastrand::Rng;

use super::{DAY_MS, KeyPopulation, MINUTE_MS, Namespace, TtlShape, ValueShape, Wanted, ids};

/// An application for many tenants. Permissions, invitations and presence forget TTLs.
pub static SAAS: KeyPopulation =
    KeyPopulation { name: "multi-tenant SaaS", namespaces: &NAMESPACES, fixtures };

const TENANTS: u64 = 120;

const INDUSTRIES: [&str; 12] = [
    "foods",
    "logistics",
    "motors",
    "media",
    "labs",
    "energy",
    "bank",
    "health",
    "design",
    "travel",
    "robotics",
    "law",
];
const COMPANIES: [&str; 10] =
    ["acme", "globex", "initech", "umbrella", "stark", "wayne", "hooli", "vandelay", "soylent", "wonka"];

/// The name of a tenant in addresses: of one or of two words.
fn tenant(n: u64) -> String {
    let (company, industry) = (COMPANIES[(n % 10) as usize], INDUSTRIES[(n / 10 % 12) as usize]);
    if n.is_multiple_of(3) { format!("{company}{industry}") } else { format!("{company}-{industry}") }
}

/// A tenant: small numbers are large customers.
fn any_tenant(rng: &mut Rng) -> u64 {
    let most = rng.u64(..TENANTS);
    rng.u64(..=most)
}

/// The id of the `n`-th user. Each tenant has ids of one kind.
fn user(rng: &mut Rng, tenant: u64, n: u64) -> String {
    match tenant % 5 {
        0 => (10_000 + n).to_string(),
        1 => ids::uuid(rng),
        2 => ids::ulid(rng),
        3 => ids::hex(rng, 24),
        _ => ids::email(rng, n),
    }
}

fn of_user(rng: &mut Rng, n: u64, what: &str) -> String {
    let its = any_tenant(rng);
    format!("tenant:{}:user:{}:{what}", tenant(its), user(rng, its, n))
}

fn fixtures() -> Vec<String> {
    let own = |n| ["settings", "features"].map(|what| format!("tenant:{}:{what}", tenant(n)));
    (0..TENANTS).flat_map(own).chain(["deploy:version".to_owned(), "maintenance".to_owned()]).collect()
}

static NAMESPACES: [Namespace; 11] = [
    Namespace {
        template: "tenant:{tenant}:user:{id}:permissions",
        pattern: "tenant:*:user:*:permissions",
        share: 3_000,
        ttl: TtlShape::Forgotten(12, 30 * MINUTE_MS),
        wanted: Wanted::WithTtl,
        value: ValueShape::Set(6),
        key: |rng, n| of_user(rng, n, "permissions"),
    },
    Namespace {
        template: "tenant:{tenant}:user:{id}:profile",
        pattern: "tenant:*:user:*:profile",
        share: 2_000,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Hash(6),
        key: |rng, n| of_user(rng, n, "profile"),
    },
    Namespace {
        template: "tenant:{tenant}:user:{id}:sessions",
        pattern: "tenant:*:user:*:sessions",
        share: 1_000,
        ttl: TtlShape::UpTo(14 * DAY_MS),
        wanted: Wanted::All,
        value: ValueShape::Set(2),
        key: |rng, n| of_user(rng, n, "sessions"),
    },
    Namespace {
        template: "apikey:{hex}",
        pattern: "apikey:*",
        share: 800,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Hash(3),
        key: |rng, _| format!("apikey:{}", ids::hex(rng, 64)),
    },
    Namespace {
        template: "idempotency:{id}",
        pattern: "idempotency:*",
        share: 700,
        ttl: TtlShape::UpTo(DAY_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(150),
        key: |rng, _| format!("idempotency:{}", ids::uuid(rng)),
    },
    Namespace {
        template: "webhook:{id}:attempts",
        pattern: "webhook:*:attempts",
        share: 600,
        ttl: TtlShape::UpTo(3 * DAY_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(2),
        key: |rng, _| format!("webhook:{}:attempts", ids::ulid(rng)),
    },
    Namespace {
        template: "rl:api:{ip}:{minute}",
        pattern: "rl:api:*:*",
        share: 500,
        ttl: TtlShape::UpTo(5 * MINUTE_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(2),
        key: |rng, n| format!("rl:api:{}:{}", ids::ip(rng), 28_881_000 + n % 5),
    },
    Namespace {
        template: "invite:{email}",
        pattern: "invite:*",
        share: 400,
        ttl: TtlShape::Forgotten(20, 7 * DAY_MS),
        wanted: Wanted::WithTtl,
        value: ValueShape::Text(60),
        key: |rng, n| format!("invite:{}", ids::email(rng, n)),
    },
    Namespace {
        template: "oauth:refresh:{id}",
        pattern: "oauth:refresh:*",
        share: 400,
        ttl: TtlShape::UpTo(30 * DAY_MS),
        wanted: Wanted::All,
        value: ValueShape::Text(80),
        key: |rng, _| format!("oauth:refresh:{}", ids::token(rng, 43)),
    },
    Namespace {
        template: "usage:{tenant}:{date}",
        pattern: "usage:*:*",
        share: 300,
        ttl: TtlShape::Never,
        wanted: Wanted::All,
        value: ValueShape::Hash(4),
        key: |_, n| format!("usage:{}:{}", tenant(n % TENANTS), ids::date(n / TENANTS)),
    },
    Namespace {
        template: "{{tenant}}:presence:{id}",
        pattern: "{*}:presence:*",
        share: 300,
        ttl: TtlShape::Forgotten(5, 10 * MINUTE_MS),
        wanted: Wanted::WithTtl,
        value: ValueShape::Text(1),
        key: |rng, n| {
            let its = any_tenant(rng);
            format!("{{{}}}:presence:{}", tenant(its), user(rng, its, n))
        },
    },
];
