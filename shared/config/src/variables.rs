//! Variables with the prefix `KEYSWEEP_`: which are known, and which are mistakes.
//!
//! An unknown name is an error: with an ignored `KEYSWEEP_DRYRUN=1`, the run would delete keys. Two kinds of names are
//! accepted: those that the tests and `cargo xtask` read, and those that Kubernetes sets in every container for a
//! Service whose name begins with `keysweep`.

use keysweep_model::printable::one_line;

use super::environment::CONFIG_FILE_VARIABLE;
use super::error::ConfigError;
use super::setting_def::{Section, SettingDef};
use super::suggest::nearest;
use super::table::SETTINGS;

/// The prefix of our variables. Names with another spelling of it are mistakes, too.
const PREFIX: &str = "KEYSWEEP_";

/// Variables that are not settings: of `keysweep demo`, the tests and `cargo xtask`.
pub const DEVELOPERS_VARIABLES: [&str; 9] = [
    "KEYSWEEP_CHAOS_SEED",
    "KEYSWEEP_FUZZ_SECONDS",
    "KEYSWEEP_NATS_SERVER",
    "KEYSWEEP_REDIS_SERVER",
    "KEYSWEEP_SOAK_KEYS",
    "KEYSWEEP_SOAK_MINUTES",
    "KEYSWEEP_OTHER_BINARY",
    "KEYSWEEP_SOAK_SEEDS",
    "KEYSWEEP_TEST_HELPER",
];

/// Unknown variables in one message.
const NAMED_MAX: usize = 10;
/// The maximum length of an unknown name in a message.
const SHOWN_CHARS_MAX: usize = 80;

/// Checks all variables of an environment, as pairs of name and value.
///
/// # Errors
/// [`ConfigError::UnknownVariables`] for unknown names with the prefix. An empty variable counts as not set.
pub(super) fn check<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), ConfigError> {
    let is_ours =
        |name: &str| name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    let is_known = |name: &str| {
        name == CONFIG_FILE_VARIABLE
            || DEVELOPERS_VARIABLES.contains(&name)
            || SETTINGS.iter().any(|spec| spec.env == name)
    };
    let unknown = all.into_iter().filter(|(name, value)| {
        is_ours(name) && !value.trim().is_empty() && !is_known(name) && !is_of_a_service(name, value)
    });
    let mut names: Vec<&str> = unknown.map(|(name, _)| name).collect();
    names.sort_unstable();
    if names.is_empty() {
        return Ok(());
    }
    let mut listed: Vec<String> = names.iter().take(NAMED_MAX).map(|name| mistake(name)).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    listed.extend((more > 0).then(|| format!("and {more} more")));
    Err(ConfigError::UnknownVariables(listed.join("; ")))
}

/// What is wrong with one name, and what would be right.
fn mistake(name: &str) -> String {
    let shown = one_line(&name.chars().take(SHOWN_CHARS_MAX).collect::<String>());
    match meant(name) {
        Some(known) => format!("unknown variable `{shown}`; did you mean `{known}`?"),
        None => format!(
            "unknown variable `{shown}`; the variable of a flag such as `--dry-run` is `KEYSWEEP_DRY_RUN`"
        ),
    }
}

/// The variable that `name` probably means: one with a similar spelling, or whose setting or flag has one, or one with
/// the same words and some more or fewer.
fn meant(name: &str) -> Option<&'static str> {
    let rest = name.get(PREFIX.len()..)?.to_ascii_uppercase();
    // `KEYSWEEP_REDIS_PASSWORD`: variables of Redis settings do not contain the word `REDIS`.
    let of_redis = || SETTINGS.iter().filter(|spec| spec.section == Section::Redis || spec.name == "db");
    let named = |own_name: &str| {
        let spec = of_redis().find(|spec| own_name == own(spec) || own_name.eq_ignore_ascii_case(spec.name));
        spec.map(|spec| spec.env)
    };
    let named = rest.strip_prefix("REDIS_").and_then(named);
    named.or_else(|| spelled_like(&rest)).or_else(|| of_words(&rest))
}

/// The variable of a setting with a name similar to `rest`.
fn spelled_like(rest: &str) -> Option<&'static str> {
    let own_names = SETTINGS.iter().map(|spec| (own(spec), spec.env));
    let others = SETTINGS.iter().flat_map(|spec| {
        let names = [Some(spec.name), spec.flag, spec.other_env];
        names.into_iter().flatten().map(|name| (name, spec.env))
    });
    let config = ("CONFIG", CONFIG_FILE_VARIABLE);
    let candidates: Vec<(&str, &'static str)> = own_names.chain([config]).chain(others).collect();
    let near = nearest(rest, candidates.iter().map(|(candidate, _)| *candidate))?;
    candidates.iter().find(|(candidate, _)| *candidate == near).map(|(_, variable)| *variable)
}

/// The shortest variable that has all words of `rest`, or else the longest whose words are all in it.
fn of_words(rest: &str) -> Option<&'static str> {
    let has_all = |whole: &str, part: &str| part.split('_').all(|word| whole.split('_').any(|w| w == word));
    let names = |spec: &&SettingDef| {
        has_all(own(spec), rest) || spec.other_env.is_some_and(|other| has_all(other, rest))
    };
    let longer = SETTINGS.iter().filter(names).min_by_key(|spec| spec.env.len());
    let shorter =
        || SETTINGS.iter().filter(|spec| has_all(rest, own(spec))).max_by_key(|spec| spec.env.len());
    longer.or_else(shorter).map(|spec| spec.env)
}

/// A setting's variable without the prefix.
fn own(spec: &SettingDef) -> &'static str {
    spec.env.strip_prefix(PREFIX).unwrap_or(spec.env)
}

/// Whether Kubernetes sets such a variable for a Service called `keysweep`, or `keysweep-` and something. For one of
/// that name with port 9464 called `metrics`:
///
/// ```text
/// KEYSWEEP_SERVICE_HOST=10.96.7.1             KEYSWEEP_PORT_9464_TCP=tcp://10.96.7.1:9464
/// KEYSWEEP_SERVICE_PORT=9464                  KEYSWEEP_PORT_9464_TCP_PROTO=tcp
/// KEYSWEEP_SERVICE_PORT_METRICS=9464          KEYSWEEP_PORT_9464_TCP_PORT=9464
/// KEYSWEEP_PORT=tcp://10.96.7.1:9464          KEYSWEEP_PORT_9464_TCP_ADDR=10.96.7.1
/// ```
///
/// The value is checked only for a name that a person may have chosen: `KEYSWEEP_REDIS_PORT=6380` is a mistake.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let is_upper = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    if !name.starts_with(PREFIX) || !is_upper(name) {
        return false;
    }
    // The Service's name may be just `keysweep`, so the underscore belongs to the rest.
    let rest = &name[PREFIX.len() - 1..];
    if rest.ends_with("_SERVICE_HOST") || rest.ends_with("_SERVICE_PORT") {
        return true;
    }
    if rest.split_once("_SERVICE_PORT_").is_some_and(|(_, port)| is_upper(port)) {
        return true;
    }
    if rest.ends_with("_PORT") && is_link(value) {
        return true;
    }
    // The last one: the Service's own name may contain `_PORT_`.
    rest.rsplit_once("_PORT_").is_some_and(|(_, port)| is_port(port))
        || ["_PROTO", "_PORT", "_ADDR"].iter().any(|end| {
            let of_port = rest.strip_suffix(end).and_then(|rest| rest.rsplit_once("_PORT_"));
            of_port.is_some_and(|(_, port)| is_port(port))
        })
}

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// `9464_TCP`
fn is_port(text: &str) -> bool {
    text.split_once('_').is_some_and(|(number, protocol)| {
        number.parse::<u16>().is_ok()
            && number.bytes().all(|b| b.is_ascii_digit())
            && PROTOCOLS.contains(&protocol)
    })
}

/// `tcp://10.96.7.1:9464`
fn is_link(value: &str) -> bool {
    value.split_once("://").is_some_and(|(protocol, address)| {
        PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(protocol)) && !address.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error for one variable with this value; empty if it is accepted.
    #[track_caller]
    fn check_one(name: &str, value: &str, expected: &str) {
        let said = check([("PATH", "/bin"), (name, value)]).err().map(|e| e.to_string());
        assert_eq!(said.unwrap_or_default(), expected, "{name}={value}");
    }

    #[track_caller]
    fn check_meant(name: &str, known: &str) {
        check_one(name, "1", &format!("unknown variable `{name}`; did you mean `{known}`?"));
    }

    #[test]
    fn an_unknown_variable_names_the_nearest_known_one() {
        check_meant("KEYSWEEP_DRYRUN", "KEYSWEEP_DRY_RUN");
        check_meant("KEYSWEEP_DRY-RUN", "KEYSWEEP_DRY_RUN");
        check_meant("KEYSWEEP__DRY_RUN", "KEYSWEEP_DRY_RUN");
        check_meant("keysweep_dry_run", "KEYSWEEP_DRY_RUN");
        check_meant("Keysweep_DryRun", "KEYSWEEP_DRY_RUN");
        check_meant("KEYSWEEP_DRY", "KEYSWEEP_DRY_RUN");
        check_meant("KEYSWEEP_DRY_RUN_MODE", "KEYSWEEP_DRY_RUN");
        check_meant("KEYSWEEP_PROTECTED", "KEYSWEEP_PROTECT");
        check_meant("KEYSWEEP_PATTERNS", "KEYSWEEP_PATTERN");
        check_meant("KEYSWEEP_MAX_DELETE", "KEYSWEEP_MAX_DELETE_PERCENT");
        check_meant("KEYSWEEP_CONFIG_FILE", "KEYSWEEP_CONFIG");
        check_meant("KEYSWEEP_AGGRESSIVE_CACHE_CLEANUP", "KEYSWEEP_AGGRESSIVE");
        check_meant("KEYSWEEP_INACTIVITY_THRESHOLD_DAYS", "KEYSWEEP_INACTIVITY_DAYS");
        check_meant("KEYSWEEP_URL", "KEYSWEEP_REDIS");
        check_meant("KEYSWEEP_REDIS_URL", "KEYSWEEP_REDIS");
        check_meant("KEYSWEEP_REDIS_PASSWORD", "KEYSWEEP_PASSWORD");
        check_meant("KEYSWEEP_REDIS_USERNAME", "KEYSWEEP_USER");
        check_meant("KEYSWEEP_REDIS_DB", "KEYSWEEP_DB");
        check_meant("KEYSWEEP_REDIS_PORT", "KEYSWEEP_REDIS");
        check_meant("KEYSWEEP_NATS_URL", "KEYSWEEP_NATS");
        check_meant("KEYSWEEP_CRON", "KEYSWEEP_SCHEDULE");
    }

    #[test]
    fn what_resembles_nothing_and_what_is_many_is_named_all_the_same() {
        let hint = "; the variable of a flag such as `--dry-run` is `KEYSWEEP_DRY_RUN`";
        check_one("KEYSWEEP_COLOUR", "1", &format!("unknown variable `KEYSWEEP_COLOUR`{hint}"));
        check_one("KEYSWEEP_", "1", &format!("unknown variable `KEYSWEEP_`{hint}"));
        check_one("KEYSWEEP_\u{1b}[2J", "1", &format!("unknown variable `KEYSWEEP_\\u{{1b}}[2J`{hint}"));
        let many: Vec<String> =
            (0..12).map(|n| format!("KEYSWEEP_COLOUR{n:02}{}", "x".repeat(100))).collect();
        let said = check(many.iter().map(|name| (name.as_str(), "v"))).expect_err("unknown").to_string();
        assert!(said.contains("COLOUR09") && !said.contains("COLOUR10"), "{said}");
        assert!(said.ends_with("; and 2 more") && said.len() < 2_000, "{said}");
    }

    #[test]
    fn known_ones_empty_ones_and_those_of_others_are_left_alone() {
        for spec in SETTINGS {
            check_one(spec.env, "x", "");
        }
        for name in DEVELOPERS_VARIABLES {
            check_one(name, "x", "");
        }
        check_one(CONFIG_FILE_VARIABLE, "k.toml", "");
        check_one("KEYSWEEP_DRYRUN", " ", "");
        check_one("KEYSWEEP", "x", "");
        check_one("KEYSWEEPER_DRYRUN", "x", "");
        check_one("MY_KEYSWEEP_DRYRUN", "x", "");
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_is_left_alone() {
        for service in ["KEYSWEEP", "KEYSWEEP_SCANNER", "KEYSWEEP_NATS", "KEYSWEEP_DRYRUN", "KEYSWEEP_PORT_1"]
        {
            for (end, value) in [
                ("SERVICE_HOST", "10.96.7.1"),
                ("SERVICE_PORT", "9464"),
                ("SERVICE_PORT_METRICS", "9464"),
                ("SERVICE_PORT_HTTP_ADMIN", "9464"),
                ("PORT", "tcp://10.96.7.1:9464"),
                ("PORT_9464_TCP", "tcp://10.96.7.1:9464"),
                ("PORT_9464_TCP_PROTO", "tcp"),
                ("PORT_9464_TCP_PORT", "9464"),
                ("PORT_9464_TCP_ADDR", "fd00::7"),
                ("PORT_53_UDP", "udp://[fd00::7]:53"),
                ("PORT_53_UDP_ADDR", "fd00::7"),
                ("PORT_38412_SCTP_PROTO", "sctp"),
            ] {
                check_one(&format!("{service}_{end}"), value, "");
            }
        }
    }

    #[test]
    fn what_only_resembles_a_service_is_an_error() {
        for (name, value) in [
            ("KEYSWEEP_PORT", "9464"),
            ("KEYSWEEP_REDIS_PORT", "6380"),
            ("KEYSWEEP_HOST", "10.96.7.1"),
            ("KEYSWEEP_PORT_9464", "tcp://10.96.7.1:9464"),
            ("KEYSWEEP_PORT_94640_TCP", "tcp://10.96.7.1:94640"),
            ("KEYSWEEP_PORT_9464_HTTP", "http://10.96.7.1:9464"),
            ("KEYSWEEP_PORT_9464_TCP_NAME", "tcp"),
            ("keysweep_service_host", "10.96.7.1"),
        ] {
            let said = check([(name, value)]).expect_err(name).to_string();
            assert!(
                said.starts_with(&format!("unknown variable `{name}`")) && !said.contains(value),
                "{said}"
            );
        }
    }

    #[test]
    fn no_setting_has_a_name_that_kubernetes_gives() {
        for spec in SETTINGS {
            assert!(!is_of_a_service(spec.env, "tcp://10.96.7.1:1"), "{}", spec.env);
        }
    }

    #[test]
    fn the_variable_of_a_flag_is_the_flag() {
        for (flag, spec) in SETTINGS.iter().filter_map(|spec| Some((spec.flag?, spec))) {
            let expected =
                format!("{PREFIX}{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
            assert_eq!(spec.env, expected);
        }
    }
}
