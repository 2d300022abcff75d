//! Ground truth for rules whose conditions ask which users are active: carts that go with inactive users, sessions of active
//! ones that get a TTL.

use coordinator::inactive_policy::{ActivitySource, InactivePolicy};
use coordinator::options::Options;
use keysweep_model::glob::Pattern;
use keysweep_model::key::Key;
use keysweep_model::messages::{Policy, RuleAction, Rules, StatedRule};
use keysweep_model::result::CleanupResult;
use keysweep_model::time::now_ms;
use keysweep_redis::ConnectOptions;
use keysweep_servers::Seeder;

use super::keys;

/// The users who were active, with the times of it.
const SEEN: &str = "users:seen";

const DAY_MS: u64 = 86_400_000;

const HOUR_MS: u64 = 3_600_000;

/// Users with a cart and a session each. A third of them is active, a third was seen long ago, a third never.
pub const USERS: u64 = 900;

/// A cart whose name has no user.
const NO_USER: &[u8] = b"cart:all";

/// The options of a run with these rules.
#[must_use]
pub fn options(urls: Vec<String>) -> Options {
    let rule = |pattern: &str, condition: &str| StatedRule {
        matching: vec![Pattern::new(pattern).unwrap()],
        condition: Some(condition.to_owned()),
        ..StatedRule::default()
    };
    let rules = vec![
        StatedRule {
            action: Some(RuleAction::Delete),
            ..rule("cart:*", "user = inactive and type = string")
        },
        StatedRule { ttl_ms: Some(HOUR_MS), ..rule("session:*", "user = active") },
    ];
    let plain = super::options(urls);
    let source = Key::new(SEEN.as_bytes());
    let rules = Rules {
        patterns: Vec::new(),
        protect: Vec::new(),
        sources: vec![source.clone()],
        policy: Some(Policy { rules, ..Policy::default() }),
        action: keysweep_model::messages::Action::Report,
        ..plain.rules
    };
    let inactive = InactivePolicy {
        identity: "*:{user}:x".to_owned(),
        source: ActivitySource::SortedSet(source),
        near_expiry_ms: 0,
        threshold_ms: 30 * DAY_MS,
        allow_no_active: false,
    };
    Options { rules, inactive: Some(inactive), max_delete_percent: 100, ..plain }
}

fn name(what: &str, user: u64) -> Vec<u8> {
    format!("{what}:{user}:x").into_bytes()
}

fn is_active(user: u64) -> bool {
    user.is_multiple_of(3)
}

/// Writes the keys, and which users were seen: with ids as in the keys, or with others that no key has.
pub async fn seed(access: &ConnectOptions, ids_fit: bool) {
    let mut seeder = Seeder::open(access).await.unwrap();
    for user in 0..USERS {
        for what in ["cart", "session"] {
            seeder.set(&name(what, user), b"value", None).await.unwrap();
        }
        let ago_ms = match user % 3 {
            0 => DAY_MS,
            1 => 90 * DAY_MS,
            _ => continue,
        };
        let (score, id) = ((now_ms() - ago_ms).to_string(), if ids_fit { user } else { user + 1_000_000 });
        let args = [b"ZADD".as_slice(), SEEN.as_bytes(), score.as_bytes(), id.to_string().as_bytes()]
            .map(<[u8]>::to_vec);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        seeder.command(SEEN.as_bytes(), &args).await.unwrap();
    }
    seeder.set(NO_USER, b"value", None).await.unwrap();
    seeder.finish().await.unwrap();
}

/// Checks every key by its name, and the rows of the rules.
pub async fn check(access: &ConnectOptions, result: &CleanupResult) {
    let of = |what: &str| (0..USERS).map(|user| name(what, user)).collect::<Vec<_>>();
    for (user, ttl) in (0..).zip(keys::ask(access, "PTTL", &of("cart")).await) {
        assert_eq!(ttl, if is_active(user) { -1 } else { -2 }, "the cart of user {user}");
    }
    for (user, ttl) in (0..).zip(keys::ask(access, "PTTL", &of("session")).await) {
        assert_eq!(ttl > 0, is_active(user), "the session of user {user} has the TTL {ttl}");
    }
    assert_eq!(keys::ask(access, "PTTL", &[NO_USER.to_vec()]).await, [-1]);
    let rows: Vec<_> = result
        .rules
        .iter()
        .map(|row| (row.scanned, row.undecided, row.accounting.candidates, row.accounting.balanced))
        .collect();
    assert_eq!(rows, [(USERS + 1, 1, USERS / 3 * 2, true), (USERS, 0, USERS / 3, true)]);
    assert_eq!(
        (result.rules[0].accounting.deleted, result.rules[1].accounting.expired),
        (USERS / 3 * 2, USERS / 3)
    );
}

/// Nothing was done, and so many keys of each rule are undecided.
pub async fn check_untouched(access: &ConnectOptions, result: &CleanupResult, expected: [u64; 2]) {
    assert_eq!(keys::count(access).await, 2 * USERS + 2);
    let undecided: Vec<u64> = result.rules.iter().map(|row| row.undecided).collect();
    assert_eq!((undecided, result.accounting.candidates), (expected.to_vec(), 0), "{:?}", result.issues);
}
