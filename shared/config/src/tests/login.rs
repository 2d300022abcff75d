//! User name, password and database from settings of their own and from URLs.

use super::*;

/// `user password(origin) db` of resolved settings.
#[track_caller]
fn check(given_flags: &[(&'static str, &str)], env: &[(&str, &str)], text: &str, expected: &str) {
    let env = Environment::from_pairs(env.iter().copied());
    let settings = resolve(&flags(given_flags), &env, Some(&file(text))).expect("good settings");
    let word = settings.redis.password.value.as_ref().map_or("-", Secret::expose);
    let user = settings.redis.username.value.as_deref().unwrap_or("-");
    let seen = format!("{user} {word} ({}) {}", settings.redis.password.origin, settings.db.value);
    assert_eq!(seen, expected);
    assert!(word == "-" || !format!("{settings:?} {:?}", settings.rows()).contains(word));
}

const TABLE: &str = "[redis.main]\nusername = \"table\"\npassword = \"pw-table\"\n";

#[test]
fn nothing_given_is_no_login() {
    check(&[], &[], "", "- - (default) 0");
}

#[test]
fn the_higher_layer_wins_and_a_login_in_a_url_stays_together() {
    let url = [("--redis", "redis://url:pw%2Durl@h/3")];
    let nameless = [("--redis", "redis://:pw-url@h")];
    let env = [("REDISCLI_AUTH", "pw-env")];
    check(&[], &[], TABLE, "table pw-table (keysweep.toml:3) 0");
    check(&[], &env, TABLE, "table pw-env (environment REDISCLI_AUTH) 0");
    check(&url, &env, TABLE, "url pw-url (flag --redis) 3");
    check(&nameless, &env, TABLE, "- pw-url (flag --redis) 0");
    check(&[url[0], ("--user", "flag"), ("--db", "4")], &[], TABLE, "flag pw-url (flag --redis) 4");
    check(&[("--redis", "redis://h")], &[], TABLE, "table pw-table (keysweep.toml:3) 0");
    let in_file = format!("{TABLE}urls = [\"redis://url:pw-url@h/3\"]\n");
    check(&[], &[], &in_file, "table pw-table (keysweep.toml:3) 3");
    check(&[], &env, &in_file, "table pw-env (environment REDISCLI_AUTH) 3");
}

#[test]
fn a_password_file_is_read_and_starts_at_the_job_file() {
    let dir = std::env::temp_dir().join(format!("keysweep-login-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a temporary directory");
    fs::write(dir.join("word"), "pw file \r\n").expect("a test file");
    fs::write(dir.join("empty"), "\n").expect("a test file");
    let of = |name: &str| {
        let text = format!("[redis.main]\npassword_file = \"{name}\"\n");
        let file = JobFile::parse(&dir.join(FILE), &text).expect("the right shape");
        resolve(&FlagLayer::default(), &Environment::default(), Some(&file)).map(|s| s.redis.password)
    };
    let password = of("word").expect("a password");
    assert_eq!(password.value, Some(Secret::new("pw file ")));
    assert!(password.origin.to_string().ends_with("keysweep.toml:2"));
    let error = of("empty").expect_err("an empty file").to_string();
    assert!(error.ends_with("/empty`: it holds no password"), "{error}");
    let flag = dir.join("word").display().to_string();
    check(
        &[("--password-file", &flag)],
        &[("REDISCLI_AUTH", "pw-env")],
        TABLE,
        "table pw file  (flag --password-file) 0",
    );
    fs::remove_dir_all(&dir).expect("it was ours");
}

#[test]
fn secrets_hide_in_debug() {
    let env = Environment::from_pairs([("REDISCLI_AUTH", "hush")]);
    let layer = flags(&[("--redis", "redis://:hush@h")]);
    let file = file("[redis.main]\npassword = \"hush\"\n");
    let all = format!("{env:?} {layer:?} {file:?} {:?}", Secret::new("hush"));
    assert!(!all.contains("hush"), "{all}");
}

/// What is wrong with TLS settings, or nothing.
#[track_caller]
fn check_tls(given_flags: &[(&'static str, &str)], env: &[(&str, &str)], text: &str, expected: &str) {
    let seen = shown("cacert", given_flags, env, Some(text));
    assert!(seen.contains(expected), "{seen} does not say {expected}");
}

#[test]
fn settings_of_tls_belong_to_urls_that_ask_for_it() {
    let table = "[redis.main]\nurls = [\"rediss://a\"]\ncacert = \"ca.pem\"\n";
    check_tls(&[], &[], table, "ca.pem (keysweep.toml:3)");
    check_tls(&[("--cacert", "other.pem")], &[], table, "other.pem (flag --cacert)");
    // With a URL of a higher layer, settings of a lower one do not count.
    check_tls(&[("--redis", "redis://b")], &[], table, "ca.pem (keysweep.toml:3)");
    let plain = table.replace("rediss", "redis");
    check_tls(&[], &[], &plain, "keysweep.toml:3: `cacert` is about TLS, but `redis://a` asks for none");
    let bare = "[redis.main]\nurls = [\"redis://a\"]\n";
    check_tls(&[("--insecure", "true")], &[], bare, "`--insecure` is about TLS");
    check_tls(&[("--insecure", "false")], &[], bare, "none (default)");
    check_tls(&[], &[], &plain.replace("cacert", "sni"), "keysweep.toml:3: `sni` is about TLS");
    check_tls(&[("--cert", "c.pem")], &[], table, "`--cert` needs `key` as well (`--key`)");
    check_tls(&[], &[("KEYSWEEP_KEY", "k.pem")], table, "`KEYSWEEP_KEY` needs `cert` as well (`--cert`)");
    let mixed = "[redis.main]\nurls = [\"rediss://a\", \"redis://me:pw@b\"]\n";
    check_tls(&[], &[], mixed, "`rediss://a` asks for TLS and `redis://me:***@b` does not");
}
