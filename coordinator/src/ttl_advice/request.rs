//! What TTL advice is asked for.

use std::time::Duration;

use keysweep_config::{Origin, Settings};

/// What advice is asked for.
#[derive(Clone, Debug, Default)]
pub struct TtlRequest {
    /// The database; `None`: all that have keys.
    pub db: Option<u32>,
    /// Patterns of the keys; empty: all keys.
    pub patterns: Vec<String>,
    /// The TTL that the application sets, if it is known.
    pub configured_ttl: Option<Duration>,
    /// The hit rate to reach, 0 to 1; without it, memory decides.
    pub target_hit_rate: Option<f64>,
    /// For how long to look again before the answer.
    pub look_for: Duration,
}

/// How a service looks at the keys of a job.
#[derive(Clone, Debug, Default)]
pub struct TtlLooks {
    /// The time from one look to the next; none if it is zero.
    pub every: Duration,
    /// What advice is about.
    pub request: TtlRequest,
}

impl TtlLooks {
    /// As the settings of a job say.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self { every: settings.ttl_look_every.value, request: TtlRequest::of(settings) }
    }
}

impl TtlRequest {
    /// For the keys of a job: those settings that are stated. Not their defaults, because advice then looks for itself.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let is_stated = |origin: &Origin| !matches!(origin, Origin::Default);
        let Settings { db, patterns, configured_ttl, ttl_target_hit_rate, .. } = settings;
        Self {
            db: is_stated(&db.origin).then_some(db.value),
            patterns: if is_stated(&patterns.origin) { chosen(&patterns.value) } else { Vec::new() },
            configured_ttl: is_stated(&configured_ttl.origin).then_some(configured_ttl.value),
            target_hit_rate: ttl_target_hit_rate.value.map(|percent| f64::from(percent) / 100.0),
            ..Self::default()
        }
    }
}

/// Patterns as a choice of keys; none if they choose all.
fn chosen(patterns: &[String]) -> Vec<String> {
    if patterns.iter().any(|pattern| pattern == "*") { Vec::new() } else { patterns.to_vec() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use keysweep_config::{Environment, FlagLayer, JobFile, resolve};

    use super::*;

    #[test]
    fn a_job_states_what_its_advice_is_about() {
        let of = |settings: &str| {
            let text =
                format!("[redis.main]\nurls = [\"redis://r\"]\n[[job]]\nname = \"nightly\"\n{settings}");
            let file = JobFile::parse(Path::new("k.toml"), &text).unwrap();
            TtlLooks::of(&resolve(&FlagLayer::default(), &Environment::default(), Some(&file)).unwrap())
        };
        let stated = of("configured_ttl = \"20m\"\nttl_look_every = \"5m\"\nttl_target_hit_rate = 85");
        assert_eq!(stated.every, Duration::from_secs(300));
        let TtlRequest { configured_ttl, target_hit_rate, .. } = stated.request;
        assert_eq!((configured_ttl, target_hit_rate), (Some(Duration::from_secs(1_200)), Some(0.85)));
        let TtlRequest { configured_ttl, target_hit_rate, .. } = of("").request;
        assert_eq!((configured_ttl, target_hit_rate), (None, None));
    }

    #[test]
    fn a_pattern_for_all_keys_chooses_none() {
        let check = |patterns: &[&str], expected: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            assert_eq!(chosen(&patterns), expected, "{patterns:?}");
        };
        check(&["page:*"], &["page:*"]);
        check(&["*"], &[]);
        check(&["page:*", "*"], &[]);
    }
}
