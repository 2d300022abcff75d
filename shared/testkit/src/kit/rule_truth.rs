//! Ground truth for runs with rules: keys of thirty namespaces, ten rules, and what must be true of each key and each rule
//! after a run. What a rule does is stated here by hand, namespace by namespace, not by the code under test.

use keysweep_model::glob::Pattern;
use keysweep_model::messages::{Jitter, Policy, RuleAction, Rules, StatedRule};
use keysweep_model::result::{Accounting, CleanupResult, RuleRow};
use keysweep_redis::ConnectOptions;
use keysweep_servers::Seeder;

use super::keys;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The TTL of keys that have a long one.
const LONG: u64 = 30 * DAY;

/// How long a run and its checks may take.
const TAKES_MAX: u64 = 10 * MINUTE;

/// The namespaces. The rules are about the first ten; no rule is about the others.
const NAMESPACES: u64 = 30;

/// What a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyShape {
    /// A string without TTL.
    Lasting,
    /// A string that expires in an hour.
    Hour,
    /// A string that expires in thirty days.
    Month,
    /// A hash without TTL with so many fields.
    Hash(usize),
}

/// What must have been done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing.
    Kept,
    /// Nothing, because a fact is unknown.
    Undecided,
    Deleted,
    /// It was given a TTL from the first to the second, in milliseconds.
    Expired(u64, u64),
    /// Its TTL was shortened to this, in milliseconds.
    Clamped(u64),
    Reported,
}

/// A key with its rule, from 0, and its fate.
struct TruthKey {
    name: Vec<u8>,
    namespace: u64,
    number: u64,
    kind: KeyShape,
    rule: Option<usize>,
    fate: Fate,
}

/// The keys of a test.
pub struct RuleTruth {
    keys: Vec<TruthKey>,
}

/// Sets the condition of the rule with this number, from 0.
pub fn set_condition(rules: &mut Rules, rule: usize, condition: &str) {
    let policy = rules.policy.as_mut().expect("a job with rules");
    policy.rules[rule].condition = Some(condition.to_owned());
}

/// The keys of the first ten namespaces, by one rule for all or by one for each, which only report keys with a TTL that
/// none of them has.
#[must_use]
pub fn reporting(is_one: bool) -> Rules {
    let each = || (0..10).map(|namespace| format!("ns{namespace}:*")).collect();
    let names: Vec<String> = if is_one { vec!["ns?:*".to_owned()] } else { each() };
    let of_some = |names: &[String]| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        rule(&names, |rule| {
            rule.action = Some(RuleAction::Report);
            rule.condition = Some("ttl > 1000d".to_owned());
        })
    };
    let policy = Policy { rules: names.chunks(1).map(of_some).collect(), dry_run: true, ..Policy::default() };
    Rules { policy: Some(policy), ..RuleTruth::rules(true) }
}

/// Writes more strings without TTL.
pub async fn add_stale(access: &ConnectOptions, prefix: &str, keys: u64) {
    let mut seeder = Seeder::open(access).await.unwrap();
    for n in 0..keys {
        seeder.set(format!("{prefix}{n}").as_bytes(), b"value", None).await.unwrap();
    }
    seeder.finish().await.unwrap();
}

fn rule(matching: &[&str], change: impl FnOnce(&mut StatedRule)) -> StatedRule {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(*text).unwrap()).collect();
    let mut rule = StatedRule { matching: patterns(matching), ..StatedRule::default() };
    change(&mut rule);
    rule
}

fn deleting(matching: &str, condition: Option<&str>) -> StatedRule {
    rule(&[matching], |rule| {
        rule.action = Some(RuleAction::Delete);
        rule.condition = condition.map(str::to_owned);
    })
}

/// The rules, in their order.
fn stated() -> Vec<StatedRule> {
    vec![
        rule(&["ns0:*"], |rule| {
            rule.durable = true;
            rule.owner = Some("accounts".to_owned());
        }),
        rule(&["ns1:*", "ns2:*"], |rule| {
            rule.except = vec![Pattern::new("ns2:*6").unwrap()];
            (rule.ttl_ms, rule.max_ttl_ms) = (Some(HOUR), Some(7 * DAY));
            rule.owner = Some("web".to_owned());
        }),
        // The keys that the rule before leaves.
        rule(&["ns2:*"], |rule| rule.max_ttl_ms = Some(DAY)),
        deleting("ns3:*", Some("type = hash")),
        deleting("ns4:*", Some("idle < 1d")),
        deleting("ns5:*", Some("ttl > 7d")),
        deleting("ns6:*", Some("key ~ \"0$\" and type in (string, list)")),
        rule(&["ns7:*"], |rule| rule.action = Some(RuleAction::Report)),
        deleting("ns8:*", Some("length >= 3")),
        rule(&["ns9:*"], |rule| {
            (rule.ttl_ms, rule.jitter) = (Some(2 * HOUR), Some(Jitter::Percent(0)));
            rule.condition = Some("bytes > 1KiB or type = stream".to_owned());
        }),
    ]
}

/// The rule and the fate of a key.
fn expected(namespace: u64, number: u64, kind: KeyShape) -> (Option<usize>, Fate) {
    let lasts = matches!(kind, KeyShape::Lasting | KeyShape::Hash(_));
    let fate = |applies: bool, fate: Fate| if applies { fate } else { Fate::Kept };
    let (rule, fate) = match namespace {
        0 => (0, Fate::Kept),
        2 if number % 10 == 6 => (2, fate(kind == KeyShape::Month, Fate::Clamped(DAY))),
        1 | 2 if lasts => (1, Fate::Expired(HOUR, HOUR + HOUR / 10)),
        1 | 2 => (1, fate(kind == KeyShape::Month, Fate::Clamped(7 * DAY))),
        3 => (3, fate(matches!(kind, KeyShape::Hash(_)), Fate::Deleted)),
        4 => (4, fate(lasts, Fate::Deleted)),
        5 => (5, fate(kind == KeyShape::Month, Fate::Deleted)),
        6 => (6, fate(kind == KeyShape::Lasting && number.is_multiple_of(10), Fate::Deleted)),
        7 => (7, fate(lasts, Fate::Reported)),
        8 => match kind {
            KeyShape::Hash(fields) => (8, fate(fields >= 3, Fate::Deleted)),
            // Strings have no elements.
            KeyShape::Lasting => (8, Fate::Undecided),
            _ => (8, Fate::Kept),
        },
        9 => (9, fate(kind == KeyShape::Lasting && is_large(number), Fate::Expired(2 * HOUR, 2 * HOUR))),
        _ => return (None, Fate::Kept),
    };
    (Some(rule), fate)
}

/// Whether a string of the ninth namespace has three kibibytes.
fn is_large(number: u64) -> bool {
    number.is_multiple_of(8)
}

impl RuleTruth {
    /// So many keys, evenly over the namespaces, of all kinds.
    #[must_use]
    pub fn of(keys: u64) -> Self {
        let key = |at: u64| {
            let (namespace, number) = (at % NAMESPACES, at / NAMESPACES);
            let kind = match number % 4 {
                0 => KeyShape::Lasting,
                1 => KeyShape::Hour,
                2 => KeyShape::Month,
                _ => KeyShape::Hash(if number % 8 == 3 { 2 } else { 3 }),
            };
            let (rule, fate) = expected(namespace, number, kind);
            let name = format!("ns{namespace}:{number}").into_bytes();
            TruthKey { name, namespace, number, kind, rule, fate }
        };
        Self { keys: (0..keys).map(key).collect() }
    }

    /// The rules of the run: nothing but these says what is done.
    #[must_use]
    pub fn rules(dry_run: bool) -> Rules {
        let policy = Some(Policy { rules: stated(), dry_run, ..Policy::default() });
        let mut rules = Rules { policy, ..Rules::deleting(&[], &[]).unwrap() };
        rules.action = keysweep_model::messages::Action::Report;
        rules
    }

    /// Writes all keys.
    pub async fn seed(&self, access: &ConnectOptions) {
        let mut seeder = Seeder::open(access).await.unwrap();
        for TruthKey { name, namespace, number, kind, .. } in &self.keys {
            let large = *namespace == 9 && is_large(*number);
            let value = if large { vec![b'x'; 3 << 10] } else { b"value".to_vec() };
            match kind {
                KeyShape::Lasting => seeder.set(name, &value, None).await.unwrap(),
                KeyShape::Hour => seeder.set(name, &value, Some(HOUR)).await.unwrap(),
                KeyShape::Month => seeder.set(name, &value, Some(LONG)).await.unwrap(),
                KeyShape::Hash(fields) => {
                    let mut args: Vec<&[u8]> = vec![b"HSET", name];
                    for field in [b"a", b"b", b"c"].into_iter().take(*fields) {
                        args.extend([field.as_slice(), b"value"]);
                    }
                    seeder.command(name, &args).await.unwrap();
                }
            }
        }
        seeder.finish().await.unwrap();
        assert_eq!(seeder.keys().await.unwrap(), self.keys.len() as u64, "what was seeded is there");
    }

    /// What must be said of the rule with this number, from 0.
    fn row(&self, rule: usize, dry_run: bool) -> (u64, u64, Accounting) {
        let mut accounting = Accounting { balanced: true, ..Accounting::default() };
        let (mut scanned, mut undecided) = (0, 0);
        for key in self.keys.iter().filter(|key| key.rule == Some(rule)) {
            scanned += 1;
            let count = match key.fate {
                Fate::Kept => continue,
                Fate::Undecided => {
                    undecided += 1;
                    continue;
                }
                Fate::Reported => &mut accounting.reported,
                _ if dry_run => &mut accounting.reported,
                Fate::Deleted => &mut accounting.deleted,
                Fate::Expired(..) => &mut accounting.expired,
                Fate::Clamped(_) => &mut accounting.clamped,
            };
            *count += 1;
            accounting.candidates += 1;
        }
        (scanned, undecided, accounting)
    }

    /// Compares the numbers of a result with the expected ones.
    pub fn check_numbers(&self, result: &CleanupResult, dry_run: bool) {
        let mut sum = Accounting { balanced: true, ..Accounting::default() };
        assert_eq!(result.rules.len(), stated().len());
        for (at, found) in result.rules.iter().enumerate() {
            let (scanned, undecided, accounting) = self.row(at, dry_run);
            let RuleRow { index, scanned: found_keys, undecided: open, accounting: outcomes, .. } = found;
            assert_eq!(
                (*index, *found_keys, *open, *outcomes),
                (at as u32 + 1, scanned, undecided, accounting)
            );
            sum.add(&accounting);
        }
        assert_eq!(result.accounting, sum, "{:?}", result.issues);
        let owned = self.keys.iter().filter(|key| key.rule.is_some()).count() as u64;
        assert_eq!((result.scanned_keys, result.action.as_str()), (owned, "rules"));
        assert_eq!(result.cleaned_keys, sum.deleted);
        assert_eq!(result.rules[0].owner.as_deref(), Some("accounts"));
        assert_eq!(result.rules[1].matching, ["ns1:*", "ns2:*"]);
    }

    /// Checks every key by name, and that there are no others but ledgers.
    pub async fn check_keys(&self, access: &ConnectOptions, dry_run: bool) {
        let names: Vec<Vec<u8>> = self.keys.iter().map(|key| key.name.clone()).collect();
        for (key, ttl) in self.keys.iter().zip(keys::ask(access, "PTTL", &names).await) {
            let fate = if dry_run { Fate::Kept } else { key.fate };
            let about = |least: u64, most: u64| {
                u64::try_from(ttl).is_ok_and(|ttl| (least - TAKES_MAX..=most).contains(&ttl))
            };
            let is_right = match (fate, key.kind) {
                (Fate::Deleted, _) => ttl == -2,
                (Fate::Expired(least, most), _) => about(least, most),
                (Fate::Clamped(to), _) => about(to, to),
                (_, KeyShape::Lasting | KeyShape::Hash(_)) => ttl == -1,
                (_, KeyShape::Hour) => about(HOUR, HOUR),
                (_, KeyShape::Month) => about(LONG, LONG),
            };
            assert!(is_right, "{} is {fate:?} and has the TTL {ttl}", key.name.escape_ascii());
        }
        let gone = self.keys.iter().filter(|key| key.fate == Fate::Deleted && !dry_run).count();
        let own = keys::matching(access, "keysweep:ledger:*").await.len();
        assert_eq!(
            keys::count(access).await,
            (self.keys.len() - gone + own) as u64,
            "there are unknown keys"
        );
    }

    /// Both checks.
    pub async fn check(&self, access: &ConnectOptions, result: &CleanupResult) {
        self.check_numbers(result, false);
        self.check_keys(access, false).await;
    }
}
