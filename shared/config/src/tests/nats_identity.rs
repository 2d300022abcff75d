//! The login to NATS: one method from the highest source, never a mix of two, and no secret in messages.

use super::*;

/// `way:name/secret` of everything that is set.
fn who(given_flags: &[(&'static str, &str)], env: &[(&str, &str)], text: &str) -> String {
    let env = Environment::from_pairs(env.iter().copied());
    let file = match JobFile::parse(Path::new(FILE), text) {
        Ok(file) => file,
        Err(error) => return error.to_string(),
    };
    let settings = match resolve(&flags(given_flags), &env, Some(&file)) {
        Ok(settings) => settings,
        Err(error) => return error.to_string(),
    };
    let seen = format!("{settings:?} {:?}", settings.rows());
    assert!(!seen.contains("pw-") && !seen.contains("tok-"), "{seen}");
    let nats = settings.nats.expect("a connection");
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|word| word.expose().to_owned());
    let parts = [
        ("creds", path(&nats.creds.value)),
        ("nkey", path(&nats.nkey.value)),
        ("user", nats.user.value.clone()),
        ("password", secret(&nats.password.value)),
        ("token", secret(&nats.token.value)),
    ];
    let set = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}:{}", value?)));
    Vec::from_iter(set).join(" ")
}

const IN_FILE: &str = "[nats]\nurl = \"nats://h\"\nuser = \"file\"\npassword = \"pw-file\"\n";

#[test]
fn the_highest_place_settles_the_way() {
    assert_eq!(who(&[("--nats", "h")], &[], ""), "");
    assert_eq!(who(&[], &[], IN_FILE), "user:file password:pw-file");
    assert_eq!(who(&[], &[("NATS_CREDS", "c")], IN_FILE), "creds:c");
    assert_eq!(who(&[("--nats-nkey", "n")], &[("NATS_CREDS", "c")], IN_FILE), "nkey:n");
    assert_eq!(who(&[], &[("NATS_TOKEN", "tok-env")], IN_FILE), "token:tok-env");
    assert_eq!(who(&[], &[("NATS_PASSWORD", "pw-env")], IN_FILE), "user:file password:pw-env");
    assert_eq!(who(&[("--nats-user", "me")], &[("NATS_CREDS", "c")], IN_FILE), "user:me password:pw-file");
}

#[test]
fn a_login_in_a_url_counts_and_stays_together() {
    assert_eq!(who(&[("--nats", "nats://me:pw%2Durl@h")], &[], ""), "user:me password:pw-url");
    assert_eq!(who(&[("--nats", "nats://tok-url@h")], &[], IN_FILE), "token:tok-url");
    assert_eq!(who(&[("--nats", "nats://me:@h")], &[], IN_FILE), "user:me");
    assert_eq!(who(&[("--nats", "nats://me:pw-url@h"), ("--nats-creds", "c")], &[], ""), "creds:c");
    assert_eq!(who(&[], &[("NATS_URL", "nats://me:pw-url@h")], IN_FILE), "user:me password:pw-url");
}

#[test]
fn a_context_has_one_way_which_its_layer_overrules() {
    let all = r#"{"user": "ctx", "password": "pw-ctx", "creds": "c", "token": "tok-ctx"}"#;
    let contexts = Contexts::new("identity", &[("all", all), ("url", r#"{"url": "nats://tok-ctx@h"}"#)]);
    let env = [("XDG_CONFIG_HOME", &*contexts.home())];
    let flag = [("--nats-context", "all")];
    assert_eq!(who(&flag, &env, IN_FILE), "user:ctx password:pw-ctx");
    assert_eq!(who(&[flag[0], ("--nats-creds", "own")], &env, ""), "creds:own");
    assert_eq!(who(&[("--nats-context", "url")], &env, IN_FILE), "token:tok-ctx");
    let variable = [env[0], ("NATS_CONTEXT", "all"), ("NATS_NKEY", "n")];
    assert_eq!(who(&[], &variable, ""), "nkey:n");
}

#[test]
fn contradictions_name_both() {
    let url = ("--nats", "h");
    assert_eq!(
        who(&[url, ("--nats-creds", "c"), ("--nats-user", "u")], &[], ""),
        "`--nats-user` and `--nats-creds` are two ways to log in to NATS; give one of them"
    );
    assert_eq!(
        who(&[url], &[("NATS_CREDS", "c"), ("KEYSWEEP_NATS_TOKEN", "tok-x")], ""),
        "`NATS_CREDS` and `KEYSWEEP_NATS_TOKEN` are two ways to log in to NATS; give one of them"
    );
    assert_eq!(
        who(&[], &[], "[nats]\nurl = \"h\"\ncreds = \"c\"\nnkey = \"n\"\n"),
        "keysweep.toml:1: give either `creds` or `nkey`, not both"
    );
    assert_eq!(
        who(&[], &[], "[nats]\nurl = \"h\"\ntoken = \"c\"\ntoken_file = \"n\"\n"),
        "keysweep.toml:1: give either `token` or `token_file`, not both"
    );
    assert_eq!(
        who(&[url, ("--nats-cert", "c")], &[], ""),
        "`--nats-cert` needs `nats.key` as well (`--nats-key`)"
    );
    assert_eq!(
        who(&[], &[], "[nats]\nurl = \"h\"\nkey = \"k\"\n"),
        "keysweep.toml:3: `nats.key` needs `nats.cert` as well (`--nats-cert`)"
    );
    assert_eq!(
        who(&[url], &[("NATS_PASSWORD", "pw-x")], ""),
        "`NATS_PASSWORD` needs `nats.user` as well (`--nats-user`)"
    );
}

#[test]
fn files_of_secrets_are_read_only_if_they_count() {
    let contexts = Contexts::new("words", &[]);
    fs::write(contexts.dir.join("word"), "pw-word\n").expect("a test file");
    fs::write(contexts.dir.join("empty"), "\n").expect("a test file");
    let path = |name: &str| contexts.dir.join(name).display().to_string();
    let url = ("--nats", "h");
    let (word, empty) = (path("word"), path("empty"));
    let user = ("--nats-user", "me");
    assert_eq!(who(&[url, user, ("--nats-password-file", &word)], &[], ""), "user:me password:pw-word");
    assert_eq!(who(&[url, ("--nats-token-file", &word)], &[("NATS_TOKEN", "tok-x")], ""), "token:pw-word");
    let error = who(&[url, ("--nats-token-file", &empty)], &[], "");
    assert_eq!(error, format!("flag --nats-token-file: cannot read `{empty}`: it holds no token"));
    let gone = [("KEYSWEEP_NATS_TOKEN_FILE", "/gone")];
    assert_eq!(who(&[url, ("--nats-creds", "c")], &gone, ""), "creds:c");
}

#[test]
fn rows_mask_what_is_secret() {
    let text = shown("nats.url", &[("--nats", "nats://me:pw-x@h")], &[], None);
    assert_eq!(text, "nats://me:***@h (flag --nats)");
    let text = shown("nats.token", &[("--nats", "nats://tok-x@h")], &[], None);
    assert_eq!(text, "*** (flag --nats)");
}
