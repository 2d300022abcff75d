//! Which layer wins, and the origins of values.

use super::*;
use keysweep_model::messages::Action;

const JOB: &str = "[[job]]\nname = \"nightly\"\n";

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let text = format!("{JOB}grace = \"4s\"\n");
    let (flag, env) = ([("--grace", "2s")], [("KEYSWEEP_GRACE", "3s")]);
    assert_eq!(shown("grace", &flag, &env, Some(&text)), "2s (flag --grace)");
    assert_eq!(shown("grace", &[], &env, Some(&text)), "3s (environment KEYSWEEP_GRACE)");
    assert_eq!(shown("grace", &[], &[], Some(&text)), "4s (keysweep.toml:3)");
    assert_eq!(shown("grace", &[], &[], Some(JOB)), "1s (default)");
    assert_eq!(shown("grace", &[], &[("KEYSWEEP_GRACE", "")], Some(JOB)), "1s (default)");
}

#[test]
fn protected_patterns_of_all_layers_add_up() {
    let text = format!("{JOB}protect = [\"file:*\"]\n");
    let (flag, env) = ([("--protect", "flag:*")], [("KEYSWEEP_PROTECT", "env:*, too:*")]);
    let check = |flag: &[(&'static str, &str)], env: &[(&str, &str)], expected: &str| {
        assert_eq!(shown("protect", flag, env, Some(&text)), expected);
    };
    check(&flag, &env, "flag:*, env:*, too:*, file:* (flag --protect)");
    check(&[], &env, "env:*, too:*, file:* (environment KEYSWEEP_PROTECT)");
    check(&flag, &[], "flag:*, file:* (flag --protect)");
    check(&[], &[], "file:* (keysweep.toml:3)");
    // Other lists are replaced.
    let patterns = format!("{JOB}patterns = [\"a:*\"]\n");
    assert_eq!(shown("patterns", &[("--pattern", "b:*")], &[], Some(&patterns)), "b:* (flag --pattern)");
}

#[test]
fn every_setting_can_be_given_by_its_variable_and_its_flag() {
    let other_tests = |spec: &&SettingDef| {
        spec.section == Section::Nats
            || [
                "name",
                "redis",
                "password_file",
                "sentinel_password_file",
                "webhook_secret_file",
                "serve.api_token_file",
                "serve.view_token_file",
            ]
            .contains(&spec.name)
    };
    // Settings of TLS need a URL with TLS, and a certificate needs its key.
    let needs = |name: &str| -> Vec<(&str, &str)> {
        match name {
            "cacert" | "sni" | "insecure" => vec![("REDIS_URL", "rediss://h")],
            "cert" => vec![("REDIS_URL", "rediss://h"), ("KEYSWEEP_KEY", "k")],
            "key" => vec![("REDIS_URL", "rediss://h"), ("KEYSWEEP_CERT", "c")],
            "serve.admin_cert" => vec![("KEYSWEEP_ADMIN_KEY", "k")],
            "serve.admin_key" => vec![("KEYSWEEP_ADMIN_CERT", "c")],
            _ => Vec::new(),
        }
    };
    for spec in SETTINGS.iter().filter(|spec| !other_tests(spec)) {
        let whole;
        let text = match spec.kind {
            SettingKind::Switch => "true",
            SettingKind::Whole { min, .. } | SettingKind::Bytes { min, .. } => {
                whole = min.max(7).to_string();
                &whole
            }
            SettingKind::Duration { .. } => "7s",
            SettingKind::Choice(words) => words[0],
            SettingKind::Place => "nats://b",
            SettingKind::Urls => "redis://h",
            SettingKind::Addresses => "a=b",
            SettingKind::ListenAddress => "127.0.0.1:1",
            SettingKind::Overrides => "dry_run",
            SettingKind::Source(["redis", ..]) => "hash:h",
            SettingKind::Source(_) => "zset:z",
            SettingKind::SecretUrls => "https://h",
            _ => "some",
        };
        for variable in [Some(spec.env), spec.other_env].into_iter().flatten() {
            let env = [&needs(spec.name)[..], &[(variable, text)]].concat();
            let row = shown(spec.name, &[], &env, None);
            assert!(row.ends_with(&format!("(environment {variable})")), "{}: {row}", spec.name);
        }
        if let Some(flag) = spec.flag {
            let env = [&needs(spec.name)[..], &[(spec.env, "x")]].concat();
            let row = shown(spec.name, &[(flag, text)], &env, None);
            assert!(row.ends_with(&format!("(flag {flag})")), "{}: {row}", spec.name);
        }
    }
}

#[test]
fn every_setting_has_a_row_and_a_good_default() {
    let settings = resolve(&FlagLayer::default(), &Environment::default(), None).expect("defaults");
    let rows = settings.rows();
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    // The file of a secret shows as the secret. The signing key is not read here, and metrics are written.
    let not_read = ["nats.signing_key_file", "metrics_file"];
    let is_read = |name: &str| name.ends_with("file") && !not_read.contains(&name);
    let no_files = |spec: &&SettingDef| !is_read(&spec.name.to_ascii_lowercase());
    let not_nats = |spec: &&SettingDef| spec.section != Section::Nats;
    let expected = SETTINGS.iter().filter(not_nats).filter(no_files).map(|spec| spec.name);
    assert_eq!(names, Vec::from_iter(expected));
    assert!(rows.iter().all(|row| row.origin == "default"));
    let with_nats = resolve(&flags(&[("--nats", "nats://h")]), &Environment::default(), None);
    let rows = with_nats.expect("defaults").rows();
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names, Vec::from_iter(SETTINGS.iter().filter(no_files).map(|spec| spec.name)));
    let given = rows.iter().filter(|row| row.origin != "default").map(|row| row.name);
    assert_eq!(Vec::from_iter(given), ["nats.url"]);
}

#[test]
fn names_in_the_table_are_regular() {
    for spec in SETTINGS {
        let words = spec.flag.map(|flag| flag.trim_start_matches("--").replace('-', "_"));
        let variable = words.map(|words| format!("KEYSWEEP_{}", words.to_uppercase()));
        assert!(variable.is_none_or(|variable| variable == spec.env), "{}", spec.name);
        assert!(spec.env.starts_with("KEYSWEEP_"), "{}", spec.name);
        assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{}", spec.name);
    }
    let mut variables: Vec<&str> = SETTINGS.iter().map(|spec| spec.env).collect();
    variables.sort_unstable();
    variables.dedup();
    assert_eq!(variables.len(), SETTINGS.len());
    let mut names: Vec<&str> = SETTINGS.iter().map(|spec| spec.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SETTINGS.len());
    for (prefix, section) in [("nats.", Section::Nats), ("serve.", Section::Serve)] {
        assert!(SETTINGS.iter().all(|spec| spec.name.starts_with(prefix) == (spec.section == section)));
    }
}

#[test]
fn the_documents_variables_work_as_they_are() {
    let env = [
        ("PERMISSION_CACHE_CLEANUP_CRON", "5 * * * *"),
        ("AGGRESSIVE_CACHE_CLEANUP", "true"),
        ("CACHE_INACTIVITY_THRESHOLD_DAYS", "60"),
        ("REDIS_URL", "redis://a:1,redis://b:2"),
    ];
    let check = |name, expected: &str| assert_eq!(shown(name, &[], &env, None), expected);
    check("schedule", "5 * * * * (environment PERMISSION_CACHE_CLEANUP_CRON)");
    check("aggressive_cleanup", "true (environment AGGRESSIVE_CACHE_CLEANUP)");
    check("inactivity_threshold_days", "60 (environment CACHE_INACTIVITY_THRESHOLD_DAYS)");
    check("urls", "redis://a:1, redis://b:2 (environment REDIS_URL)");
    let both = [("KEYSWEEP_REDIS", "redis://c"), ("REDIS_URL", "redis://a")];
    assert_eq!(shown("urls", &[], &both, None), "redis://c (environment KEYSWEEP_REDIS)");
}

#[test]
fn a_list_of_a_higher_layer_replaces_the_lower_one() {
    let text = format!("{JOB}patterns = [\n  \"a:*\",\n  \"b:*\",\n]\nprotect = []\n");
    assert_eq!(shown("patterns", &[], &[], Some(&text)), "a:*, b:* (keysweep.toml:3)");
    assert_eq!(shown("protect", &[], &[], Some(&text)), "none (keysweep.toml:7)");
    let env = [("KEYSWEEP_PATTERN", "c:*, d:*")];
    assert_eq!(shown("patterns", &[], &env, Some(&text)), "c:*, d:* (environment KEYSWEEP_PATTERN)");
    let mut layer = FlagLayer::default();
    layer.values("--pattern", &["e,f:*".to_owned(), "g:*".to_owned()]).values("--protect", &[]);
    let settings = resolve(&layer, &Environment::default(), None).expect("good flags");
    assert_eq!(settings.patterns.value, ["e,f:*", "g:*"]);
    assert_eq!(settings.protect.origin, Origin::Default);
}

#[test]
fn derived_defaults_carry_the_origin_of_their_source() {
    let text = format!("{JOB}configured_ttl = \"30m\"\n");
    let check = |name, expected: &str| assert_eq!(shown(name, &[], &[], Some(&text)), expected);
    check("expire_ttl", "30m (keysweep.toml:3)");
    check("jitter", "3m (keysweep.toml:3)");
    check("display_name", "Nightly (keysweep.toml:2)");
    assert_eq!(shown("expire_ttl", &[], &[], None), "15m (default)");
    assert_eq!(shown("jitter", &[("--expire-ttl", "1h")], &[], None), "6m (flag --expire-ttl)");
    assert_eq!(shown("display_name", &[], &[], None), "PermissionCacheCleanup (default)");
}

#[test]
fn a_switch_that_is_off_leaves_the_lower_layers_alone() {
    let mut layer = FlagLayer::default();
    layer.switch("--dry-run", false);
    let env = Environment::from_pairs([("KEYSWEEP_DRY_RUN", "true")]);
    let settings = resolve(&layer, &env, None).expect("good settings");
    assert!(settings.dry_run.value);
    assert_eq!(settings.effective_action(), Action::Report);
}
