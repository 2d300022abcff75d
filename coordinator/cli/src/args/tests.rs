//! The command line and the settings table know the same flags, and every flag reaches its setting.

use keysweep_config::{Environment, SETTINGS, Section, SettingDef, SettingKind, by_flag, resolve};

use super::*;

/// Flags of `run` that are no settings.
const OTHER_FLAGS: [&str; 9] =
    ["--config", "--yes", "--detach", "--via", "--json", "--log-format", "--verbose", "--quiet", "--help"];

fn flags_of(command: &str) -> Vec<String> {
    let mut root = command_built();
    let found = root.find_subcommand_mut(command).expect("a subcommand of that name");
    found.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect()
}

fn command_built() -> clap::Command {
    let mut root = command();
    root.build();
    root
}

/// The rows of resolved settings whose origin is the command line.
#[track_caller]
fn given(line: &[&str]) -> Vec<String> {
    let cli = Cli::parse(line).unwrap_or_else(|error| panic!("{error}"));
    let settings = resolve(&cli.settings, &Environment::default(), None).expect("good settings");
    let from_flags = settings.rows().into_iter().filter(|row| row.origin.starts_with("flag"));
    from_flags.map(|row| format!("{} = {} ({})", row.name, row.value, row.origin)).collect()
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn every_setting_with_a_flag_is_on_the_command_line_and_the_other_way_round() {
    for command in ["run", "plan"] {
        let flags = flags_of(command);
        let of_runs = SETTINGS.iter().filter(|spec| spec.section != Section::Serve);
        for flag in of_runs.filter_map(|spec| spec.flag) {
            assert!(flags.iter().any(|known| known == flag), "{command} has no {flag}");
        }
        for flag in &flags {
            let known = by_flag(flag).is_some() || OTHER_FLAGS.contains(&flag.as_str());
            assert!(known, "{flag} of {command} is neither a setting nor a known exception");
        }
    }
}

/// Settings that read a file, which there is none of here.
const READ_FILES: [&str; 6] = [
    "name",
    "password_file",
    "sentinel_password_file",
    "nats.context",
    "nats.password_file",
    "nats.token_file",
];

/// What must be given with a setting of NATS or of TLS: an address, and the other half of a pair.
fn company(spec: &SettingDef) -> &'static [&'static str] {
    match (spec.section, spec.flag) {
        (Section::Redis, Some("--cacert" | "--sni" | "--insecure")) => &["--redis", "rediss://h"],
        (Section::Redis, Some("--cert")) => &["--redis", "rediss://h", "--key", "k"],
        (Section::Redis, Some("--key")) => &["--redis", "rediss://h", "--cert", "c"],
        (Section::Nats, Some("--nats")) | (Section::Job | Section::Redis | Section::Serve, _) => &[],
        (Section::Nats, Some("--nats-cert")) => &["--nats", "nats://h", "--nats-key", "k"],
        (Section::Nats, Some("--nats-key")) => &["--nats", "nats://h", "--nats-cert", "c"],
        (Section::Nats, _) => &["--nats", "nats://h"],
    }
}

#[test]
fn every_flag_reaches_its_setting() {
    let elsewhere = |spec: &&SettingDef| READ_FILES.contains(&spec.name) || spec.section == Section::Serve;
    for spec in SETTINGS.iter().filter(|spec| !elsewhere(spec)) {
        let Some(flag) = spec.flag else { continue };
        let whole;
        let text = match spec.kind {
            SettingKind::Switch => None,
            SettingKind::Whole { min, .. } | SettingKind::Bytes { min, .. } => {
                whole = min.max(7).to_string();
                Some(whole.as_str())
            }
            SettingKind::Duration { .. } => Some("7s"),
            SettingKind::Choice(words) => Some(words[0]),
            SettingKind::Urls => Some("redis://h"),
            SettingKind::NatsUrls => Some("nats://h"),
            SettingKind::Addresses => Some("inside=outside"),
            SettingKind::Overrides => Some("dry_run"),
            SettingKind::Place => Some("nats://bucket"),
            SettingKind::Source(["redis", ..]) => Some("hash:h"),
            SettingKind::Source(_) => Some("zset:z"),
            _ => Some("some"),
        };
        let start = ["keysweep", "run"].iter().chain(company(spec)).copied();
        let line: Vec<&str> = start.chain([flag]).chain(text).collect();
        let expected = format!("{} = {} (flag {flag})", spec.name, text.unwrap_or("true"));
        assert!(given(&line).contains(&expected), "{line:?}: {:?}", given(&line));
    }
}

#[test]
fn the_token_of_the_http_api_is_a_flag_of_serve() {
    assert_eq!(
        given(&["keysweep", "serve", "--api-token-file", "token"]),
        ["serve.api_token = *** (flag --api-token-file)"]
    );
}

#[test]
fn the_address_of_the_endpoints_is_a_flag_of_every_service() {
    for command in ["serve", "worker", "scanner", "reaper", "reporter", "health"] {
        assert_eq!(
            given(&["keysweep", command, "--admin-addr", "127.0.0.1:1"]),
            ["serve.admin_addr = 127.0.0.1:1 (flag --admin-addr)"]
        );
    }
}

#[test]
fn flags_that_name_a_file_to_read_reach_it() {
    let user: &[&str] = &["--nats-user", "me"];
    let flags = [
        ("--nats-context", user),
        ("--nats-password-file", user),
        ("--nats-token-file", &[]),
        ("--sentinel-password-file", &[]),
    ];
    for (flag, more) in flags {
        let line = ["keysweep", "run", "--nats", "nats://h", flag, "/gone"];
        let line = line.iter().chain(more);
        let cli = Cli::parse(line).unwrap_or_else(|error| panic!("{error}"));
        let error = resolve(&cli.settings, &Environment::default(), None).expect_err("no such file");
        assert!(error.to_string().contains(flag), "{error}");
    }
}

#[test]
fn repeatable_flags_repeat_and_others_do_not() {
    let line = ["keysweep", "plan", "--pattern", "a:*", "--pattern", "b,c:*"];
    assert_eq!(given(&line), ["patterns = a:*, b,c:* (flag --pattern)"]);
    assert!(Cli::parse(["keysweep", "run", "--grace", "1s", "--grace", "2s"]).is_err());
}

#[test]
fn output_flags_stand_before_or_after_the_command() {
    for line in [["keysweep", "--json", "run"], ["keysweep", "run", "--json"]] {
        let cli = Cli::parse(line).unwrap_or_else(|error| panic!("{error}"));
        assert!(cli.output.json);
        assert!(cli.config_file.is_none());
    }
    assert!(Cli::parse(["keysweep", "run", "-v", "-q"]).is_err());
    assert!(Cli::parse(["keysweep", "plan", "--yes"]).is_err());
}
