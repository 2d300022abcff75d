//! The keys of a world, and what should become of each.

use keysweep_model::glob::{Pattern, PatternError};
use keysweep_model::messages::{Action, Jitter, Policy, RuleAction, Rules, StatedRule};

use crate::plan::Profile;
use crate::redis::deployment::{Deployment, EffectKind};
use crate::redis::keyspace::{KeyEntry, Value};

/// What keysweep is asked to clean.
const PATTERN: &str = "cache:*";

/// What it must not touch.
const PROTECTED: &str = "cache:keep:*";

/// The TTL that keys have from the beginning, if they have one.
const TTL_MS: u64 = 10_000_000;

/// The TTL that keys are given, the shorter one of a rule, and what that rule shortens longer ones to.
const GIVEN_MS: u64 = 86_400_000;
const RULE_GIVEN_MS: u64 = 3_600_000;
const RULE_MAX_MS: u64 = 7_200_000;

/// Keys that were not used for so long are those of inactive users, unless they expire within this time.
pub(crate) const IDLE_MS: u64 = 86_400_000;
pub(crate) const NEAR_EXPIRY_MS: u64 = 60_000;

/// The name of a key of the world.
pub(crate) fn name(key: usize) -> Vec<u8> {
    match key % 10 {
        0 => format!("other:{key}"),
        1 => format!("cache:keep:{key}"),
        _ => format!("cache:{{{}}}:{key}", key / 3),
    }
    .into_bytes()
}

/// What keysweep is asked to do.
///
/// # Errors
/// Never: the patterns are right.
pub(crate) fn rules(profile: Profile) -> Result<Rules, PatternError> {
    let mut rules = Rules::deleting(&[PATTERN], &[PROTECTED])?;
    match profile {
        Profile::Expire => rules.action = Action::Expire { ttl_ms: GIVEN_MS, jitter_ms: 0 },
        Profile::Rules => {
            (rules.patterns, rules.protect, rules.action) = (Vec::new(), Vec::new(), Action::Report);
            rules.policy = Some(Policy { rules: stated_rules()?, ..Policy::default() });
        }
        _ => {}
    }
    Ok(rules)
}

fn stated_rules() -> Result<Vec<StatedRule>, PatternError> {
    let rule = |matching: &str, condition: &str| -> Result<StatedRule, PatternError> {
        Ok(StatedRule {
            matching: vec![Pattern::new(matching)?],
            except: vec![Pattern::new(PROTECTED)?],
            condition: Some(condition.to_owned()),
            ..StatedRule::default()
        })
    };
    let deletes = StatedRule {
        action: Some(RuleAction::Delete),
        max_delete_percent: Some(100),
        ..rule("cache:*7", "type = string and idle < 30d")?
    };
    let (ttl_ms, jitter, max_ttl_ms) = (Some(RULE_GIVEN_MS), Some(Jitter::Percent(0)), Some(RULE_MAX_MS));
    let repairs =
        StatedRule { ttl_ms, jitter, max_ttl_ms, ..rule("cache:*", "bytes >= 16 and not type = list")? };
    Ok(vec![deletes, repairs])
}

/// What a run does with a key that is so at this time of its server.
pub(crate) fn wanted(profile: Profile, name: &[u8], entry: &KeyEntry, clock_ms: u64) -> Option<EffectKind> {
    if !name.starts_with(b"cache:") || is_protected(name) {
        return None;
    }
    let left_ms = entry.expires_ms.map(|at| at.saturating_sub(clock_ms));
    let idle_ms = clock_ms.saturating_sub(entry.used_ms) / 1_000 * 1_000;
    let expires = |ms: u64| Some(EffectKind::Expires(clock_ms + ms));
    match (profile, left_ms) {
        (Profile::Expire, None) => expires(GIVEN_MS),
        (Profile::Rules, left_ms) if name.ends_with(b"7") => {
            let is_text = matches!(entry.value, Value::Text(_));
            (left_ms.is_none() && is_text).then_some(EffectKind::Removed)
        }
        (Profile::Rules, None) => expires(RULE_GIVEN_MS),
        (Profile::Rules, Some(left_ms)) if left_ms > RULE_MAX_MS => expires(RULE_MAX_MS),
        (Profile::Inactive, Some(left_ms)) if idle_ms >= IDLE_MS && left_ms > NEAR_EXPIRY_MS => {
            Some(EffectKind::Removed)
        }
        (_, None) => Some(EffectKind::Removed),
        (_, Some(_)) => None,
    }
}

/// Whether a key would be deleted if it were not protected.
pub(crate) fn is_protected(name: &[u8]) -> bool {
    name.starts_with(b"cache:keep:")
}

/// Writes all keys: a third of them with a TTL, and every fourth not used for three days.
pub(crate) fn seed(deployment: &mut Deployment, keys: usize, now_ms: u64) {
    for key in 0..keys {
        let ttl_ms = (key % 3 == 2).then_some(TTL_MS);
        let value = match key % 17 {
            0 => Value::Other("hash", 3),
            _ => Value::Text(format!("value {key}").into_bytes()),
        };
        deployment.write(&name(key), value, ttl_ms, now_ms);
        if key % 4 == 1 {
            deployment.unused_since(&name(key), now_ms - 3 * IDLE_MS);
        }
    }
    for at in 0..deployment.nodes.len() {
        deployment.replicate(at);
    }
}
