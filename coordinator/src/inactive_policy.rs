//! The policy for deleting keys of inactive users, from the settings. Pure.

use keysweep_config::{ActivitySetting, Settings};
use keysweep_model::key::Key;
use keysweep_model::key_template::{KeyTemplate, TemplateError};
use thiserror::Error;

use crate::limits::IDLE_TIME_MAX_MS;

pub use keysweep_model::messages::{ActivitySource, InactivePolicy};

use crate::options::millis;

/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 86_400_000;

/// Maximum days without activity.
const DAYS_MAX: u32 = 36_500;

fn source(source: &ActivitySetting) -> ActivitySource {
    let key = || Key::new(source.what.as_bytes());
    match source.word {
        "zset" => ActivitySource::SortedSet(key()),
        "set" => ActivitySource::Set(key()),
        _ => ActivitySource::IdleTime,
    }
}

/// Why inactive users cannot be determined.
#[derive(Debug, Error)]
pub enum InactivePolicyError {
    /// No source of activity is set.
    #[error(
        "`aggressive_cleanup` is on ({0}), but nothing says who is active; set `activity` to `zset:KEY`, `set:KEY` or \
         `idletime`, or `aggressive_cleanup` to false"
    )]
    NoActivity(String),
    /// No template for the user in a key is set.
    #[error(
        "`aggressive_cleanup` is on ({0}), and `activity` names users, but nothing says which user a key belongs to; \
         set `identity`, such as `permissions:{{user}}:*`"
    )]
    NoIdentity(String),
    /// The template is invalid.
    #[error("`identity` ({origin}): `{text}` {source}")]
    Template {
        /// The origin of the setting.
        origin: String,
        /// As given.
        text: String,
        /// The error.
        source: TemplateError,
    },
    /// Servers do not keep such long idle times.
    #[error(
        "`inactivity_threshold_days` is `{days}`, but Redis tells idle times of up to {max} days only; with the activity \
         `idletime` it takes a whole number from 1 to {max}"
    )]
    Idle {
        /// As given.
        days: u32,
        /// The maximum.
        max: u64,
    },
    /// Saving a key is a use of it.
    #[error(
        "`backup` is set, and `activity` is `idletime`: to save a key counts as a use of it, so none would be idle any \
         more; leave out one of them, or `aggressive_cleanup`"
    )]
    IdleSaved,
    /// Idle times and value comparison exclude each other.
    #[error(
        "`verify` is `value`, and `activity` is `idletime`: to read a value counts as a use of the key, so none would be \
         idle any more; leave out one of them, or `aggressive_cleanup`"
    )]
    IdleVerified,
    /// Nothing says which users are active, or which keys are theirs.
    #[error(
        "a rule asks which users are active, but nothing says so; set `activity` to `zset:KEY` or `set:KEY`, and `identity` to \
         where the user is in a key, such as `permissions:{{user}}:*`"
    )]
    NoUsers,
    /// Idle times name no users.
    #[error(
        "a rule asks which users are active, and `activity` is `idletime`, which is about keys; write `idle >= 30d` instead \
         of `user = inactive`, or set `activity` to `zset:KEY` or `set:KEY`"
    )]
    UsersIdle,
    /// Not a valid number of days.
    #[error("`inactivity_threshold_days` is `{0}`; it takes a whole number from 1 to {DAYS_MAX}")]
    Days(u32),
}

impl InactivePolicyError {
    /// What is missing in `settings`, which require inactive users.
    pub(crate) fn missing(settings: &Settings) -> Self {
        let origin = settings.aggressive_cleanup.origin.to_string();
        if settings.activity.value.is_none() { Self::NoActivity(origin) } else { Self::NoIdentity(origin) }
    }
}

/// The policy in `settings`, whether the run uses it or not; `None` if settings are missing.
///
/// # Errors
/// When a setting is invalid.
pub fn order(settings: &Settings) -> Result<Option<InactivePolicy>, InactivePolicyError> {
    let Settings { identity, activity, .. } = settings;
    if let Some(text) = &identity.value {
        KeyTemplate::parse(text).map_err(|source| InactivePolicyError::Template {
            origin: identity.origin.to_string(),
            text: text.clone(),
            source,
        })?;
    }
    let (identity, source) = match (activity.value.as_ref().map(source), &identity.value) {
        (Some(ActivitySource::IdleTime), _) => (String::new(), ActivitySource::IdleTime),
        (Some(source), Some(identity)) => (identity.clone(), source),
        (None, _) | (_, None) => return Ok(None),
    };
    let order = InactivePolicy {
        identity,
        source,
        near_expiry_ms: millis(settings.near_expiry.value),
        threshold_ms: 0,
        allow_no_active: settings.allow_no_active.value,
    };
    // If no setting requires it, any number of days is valid.
    match after_days(order, settings.inactivity_threshold_days.value) {
        Err(_) if !settings.aggressive_cleanup.value => Ok(None),
        order => order.map(Some),
    }
}

/// The same with another threshold.
///
/// # Errors
/// When it is invalid.
pub fn after_days(order: InactivePolicy, days: u32) -> Result<InactivePolicy, InactivePolicyError> {
    let (threshold_ms, max) = (u64::from(days) * DAY_MS, IDLE_TIME_MAX_MS / DAY_MS);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(InactivePolicyError::Days(days));
    }
    if order.source == ActivitySource::IdleTime && threshold_ms > max * DAY_MS {
        return Err(InactivePolicyError::Idle { days, max });
    }
    Ok(InactivePolicy { threshold_ms, ..order })
}

#[cfg(test)]
mod tests {
    use keysweep_config::{Environment, FlagLayer, resolve};
    use keysweep_model::glob::Pattern;
    use keysweep_model::messages::{Policy, RuleAction, Rules, StatedRule};

    use super::*;
    use crate::options::{Options, OptionsError};

    fn options(flags: &[(&'static str, &str)]) -> Result<Options, OptionsError> {
        let mut layer = FlagLayer::default();
        for (flag, value) in flags {
            layer.value(flag, Some(value));
        }
        Options::from_settings(&resolve(&layer, &Environment::default(), None).expect("good settings"))
    }

    const ZSET: (&str, &str) = ("--activity", "zset:permissions:warming");
    const IDENTITY: (&str, &str) = ("--identity", "permissions:{user}:*");
    const ON: (&str, &str) = ("--aggressive", "true");

    #[test]
    fn policies() {
        let order = options(&[ZSET, IDENTITY]).unwrap();
        assert!(!order.aggressive && order.inactive_policy().is_none());
        let expected = InactivePolicy {
            identity: "permissions:{user}:*".to_owned(),
            source: ActivitySource::SortedSet(Key::new(*b"permissions:warming")),
            near_expiry_ms: 300_000,
            threshold_ms: 30 * DAY_MS,
            allow_no_active: false,
        };
        assert_eq!(options(&[ZSET, IDENTITY, ON]).unwrap().inactive_policy(), Some(&expected));
        let more =
            [("--activity", "set:a"), IDENTITY, ON, ("--inactivity-days", "7"), ("--near-expiry", "10s")];
        let order = options(&more).unwrap().inactive.unwrap();
        assert_eq!(
            (order.source.name().as_str(), order.near_expiry_ms, order.threshold_ms),
            ("set:a", 10_000, 7 * DAY_MS)
        );
        let idle = options(&[("--activity", "idletime"), IDENTITY, ON]).unwrap().inactive.unwrap();
        assert_eq!((idle.source, idle.identity.as_str()), (ActivitySource::IdleTime, ""));
    }

    #[test]
    fn a_rule_that_asks_for_users_needs_to_know_them() {
        let check = |flags: &[(&'static str, &str)], expected: Option<&str>| {
            let options = options(flags).unwrap();
            let rule = StatedRule {
                matching: vec![Pattern::new("cart:*").unwrap()],
                condition: Some("user = inactive".to_owned()),
                action: Some(RuleAction::Delete),
                ..StatedRule::default()
            };
            let policy = Some(Policy { rules: vec![rule], ..Policy::default() });
            let options = Options { rules: Rules { policy, ..options.rules }, ..options };
            let found = options.check().err().map(|e| e.to_string());
            assert_eq!(found.is_some(), expected.is_some(), "{flags:?}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{flags:?}");
            assert_eq!(options.inactive_policy().is_some(), flags.len() == 2);
        };
        check(&[], Some("set `activity` to"));
        check(&[ZSET], Some("and `identity` to"));
        check(&[("--activity", "idletime"), IDENTITY], Some("write `idle >= 30d` instead"));
        check(&[ZSET, IDENTITY], None);
    }

    #[test]
    fn invalid_policies() {
        let check = |flags: &[(&'static str, &str)], words: &[&str]| {
            let error = options(flags).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        };
        check(&[ON], &["`aggressive_cleanup` is on (flag --aggressive)", "`activity`", "zset:KEY"]);
        check(&[ON, IDENTITY], &["`activity`"]);
        check(&[ON, ZSET], &["`identity`", "`permissions:{user}:*`"]);
        check(&[("--identity", "permissions:*")], &["`identity`", "flag --identity", "no `{user}`"]);
        check(&[("--identity", "{user}:{user}")], &["more than once"]);
        check(&[("--identity", "p:{{user}:*")], &["`p:{{user}:*` has a `{` without its counterpart"]);
        let idle = ("--activity", "idletime");
        check(&[ON, idle, ("--inactivity-days", "195")], &["`inactivity_threshold_days`", "194 days"]);
        assert!(options(&[ON, idle, ("--inactivity-days", "194")]).is_ok());
        assert!(options(&[idle, ("--inactivity-days", "195")]).unwrap().inactive.is_none());
        let backup = ("--backup", "/backups");
        check(&[ON, idle, backup], &["`backup`", "`idletime`"]);
        assert!(options(&[idle, backup]).is_ok() && options(&[ON, ZSET, IDENTITY, backup]).is_ok());
        assert!(options(&[ON, idle, backup, ("--action", "report")]).is_ok(), "nothing is saved");
        let value = ("--verify", "value");
        check(&[ON, idle, value], &["`verify`", "`value`", "`idletime`"]);
        assert!(options(&[idle, value]).is_ok() && options(&[ON, ZSET, IDENTITY, value]).is_ok());
        assert!(options(&[ON, idle, value, ("--action", "report")]).is_ok(), "nothing is read");
        let order = options(&[ZSET, IDENTITY]).unwrap().inactive.unwrap();
        assert!(after_days(order.clone(), 0).is_err() && after_days(order, 36_501).is_err());
        let allowed = options(&[ZSET, IDENTITY, ON, ("--allow-no-active", "true")]).unwrap().inactive;
        assert!(allowed.unwrap().allow_no_active);
    }

    #[test]
    fn keys_of_the_source_are_known_even_if_the_policy_is_off() {
        let options =
            options(&[("--activity", "zset:permissions:[a]*"), ("--hit-rate", "hash:permissions:stats")]);
        let expected = ["permissions:[a]*", "permissions:stats"].map(|key| Key::new(key.as_bytes()));
        assert_eq!(options.unwrap().rules.sources, expected);
    }
}
