//! The NATS connection: when there is one, which layer wins, and contexts of the nats CLI.

use super::*;

const URL: (&str, &str) = ("--nats", "nats://h");

/// `value (origin)` of one row of the NATS settings, the error, or `none`.
#[track_caller]
fn check(flags: &[(&'static str, &str)], env: &[(&str, &str)], text: &str, name: &str, expected: &str) {
    assert_eq!(shown(name, flags, env, Some(text)), expected);
}

fn has_nats(given_flags: &[(&'static str, &str)], env: &[(&str, &str)], text: &str) -> bool {
    let env = Environment::from_pairs(env.iter().copied());
    let settings = resolve(&flags(given_flags), &env, Some(&file(text))).expect("good settings");
    settings.nats.is_some()
}

#[test]
fn a_connection_exists_only_if_requested() {
    assert!(!has_nats(&[], &[], ""));
    assert!(!has_nats(&[("--nats-prefix", "x")], &[("NATS_USER", "me")], "[nats]\nreplicas = 3\n"));
    assert!(!has_nats(&[], &[], "[nats]\nurl = []\n"));
    assert!(has_nats(&[URL], &[], ""));
    assert!(has_nats(&[], &[("NATS_URL", "h")], ""));
    assert!(has_nats(&[], &[], "[nats]\nurl = \"nats://h\"\n"));
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let text = "[nats]\nurl = [\"nats://f1\", \"tls://f2\"]\nprefix = \"file\"\n";
    let env = [("NATS_URL", "nats://e1,nats://e2")];
    check(&[URL], &env, text, "nats.url", "nats://h (flag --nats)");
    check(&[], &env, text, "nats.url", "nats://e1, nats://e2 (environment NATS_URL)");
    check(&[], &[], text, "nats.url", "nats://f1, tls://f2 (keysweep.toml:2)");
    check(&[URL], &env, text, "nats.prefix", "file (keysweep.toml:3)");
    check(
        &[URL],
        &[("KEYSWEEP_NATS_PREFIX", "env")],
        text,
        "nats.prefix",
        "env (environment KEYSWEEP_NATS_PREFIX)",
    );
    check(&[URL], &[], "", "nats.prefix", "keysweep (default)");
}

#[test]
fn several_urls_may_stand_in_one_text_in_every_layer() {
    let url = |text: &str| format!("[nats]\nurl = {text}\n");
    let row = "nats://a:1, nats://b:2, tls://c";
    for text in ["nats://a:1,nats://b:2,tls://c", "nats://a:1, b:2, tls://c", "a:1,b:2,tls://c"] {
        check(&[("--nats", text)], &[], "", "nats.url", &format!("{row} (flag --nats)"));
        check(&[], &[("NATS_URL", text)], "", "nats.url", &format!("{row} (environment NATS_URL)"));
        check(&[], &[], &url(&format!("{text:?}")), "nats.url", &format!("{row} (keysweep.toml:2)"));
        assert_eq!(check_file(Path::new(FILE), &url(&format!("{text:?}"))).ok(), Some(Vec::new()));
    }
    check(&[], &[], &url(r#"["a:1,b:2", "tls://c"]"#), "nats.url", &format!("{row} (keysweep.toml:2)"));
    // A comma in a password does not separate URLs.
    for (text, row) in [
        ("nats://me:p,w@h", "nats://me:***@h (flag --nats)"),
        ("nats://me:12,34@h", "nats://me:***@h (flag --nats)"),
        ("nats://me:p,w@h,g:2", "nats://me:***@h, nats://g:2 (flag --nats)"),
    ] {
        check(&[("--nats", text)], &[], "", "nats.url", row);
    }
    let redis = [("--redis", "redis://a:1,redis://b:2")];
    check(&redis, &[], "", "urls", "redis://a:1, redis://b:2 (flag --redis)");
}

/// The other settings that one of them needs.
fn needs(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "nats.password" => &[URL, ("--nats-user", "me")],
        "nats.cert" => &[URL, ("--nats-key", "k")],
        "nats.key" => &[URL, ("--nats-cert", "c")],
        "nats.url" => &[],
        _ => &[URL],
    }
}

#[test]
fn every_setting_can_be_given_by_its_variable_and_its_flag() {
    let other_tests = |name: &str| name.ends_with("_file") || name == "nats.context";
    let of_nats = SETTINGS.iter().filter(|spec| spec.section == Section::Nats);
    for spec in of_nats.filter(|spec| !other_tests(spec.name)) {
        let text = match spec.kind {
            SettingKind::Whole { min, .. } | SettingKind::Bytes { min, .. } => min.to_string(),
            SettingKind::Duration { .. } => "1h".to_owned(),
            SettingKind::Choice(words) => words[0].to_owned(),
            SettingKind::PublicKeys => "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=".to_owned(),
            _ => "some".to_owned(),
        };
        let text = match spec.name {
            "nats.ack_wait" | "nats.lease" => "9m",
            "nats.retention" => "2d",
            _ => &*text,
        };
        for variable in [Some(spec.env), spec.other_env].into_iter().flatten() {
            let row = shown(spec.name, needs(spec.name), &[(variable, text)], None);
            assert!(row.ends_with(&format!("(environment {variable})")), "{}: {row}", spec.name);
        }
        if let Some(flag) = spec.flag {
            let given: Vec<_> = needs(spec.name).iter().copied().chain([(flag, text)]).collect();
            let row = shown(spec.name, &given, &[(spec.env, "x")], None);
            assert!(row.ends_with(&format!("(flag {flag})")), "{}: {row}", spec.name);
        }
    }
}

#[test]
fn paths_of_the_job_file_start_in_its_directory() {
    let text = "[nats]\nurl = \"h\"\nca = \"ca.pem\"\ncreds = \"/etc/k.creds\"\n";
    let file = JobFile::parse(Path::new("/jobs/keysweep.toml"), text).expect("the right shape");
    let settings = resolve(&flags(&[]), &Environment::default(), Some(&file)).expect("good settings");
    let nats = settings.nats.expect("a connection");
    assert_eq!(nats.ca.value.as_deref(), Some(Path::new("/jobs/ca.pem")));
    assert_eq!(nats.creds.value.as_deref(), Some(Path::new("/etc/k.creds")));
    check(&[URL, ("--nats-ca", "ca.pem")], &[], "", "nats.ca", "ca.pem (flag --nats-ca)");
}

#[test]
fn values_have_bounds_and_the_file_is_checked() {
    let right = "it takes one or more URLs such as `nats://host:4222` or `tls://host`";
    check(
        &[("--nats", "ws://me:pw@h")],
        &[],
        "",
        "nats.url",
        &format!("`--nats` is `ws://me:***@h`; {right}"),
    );
    check(
        &[URL, ("--nats-prefix", "a.b")],
        &[],
        "",
        "nats.prefix",
        "`--nats-prefix` is `a.b`; it takes up to 64 letters, digits, `-` and `_`, and at least one",
    );
    let text = "[nats]\nreplicas = 6\nurl = [\"http://me:hush@h\"]\ncontext = \"../x\"\nretention = \"5m\"\n";
    let problems = check_file(Path::new(FILE), text).expect_err("problems");
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let starts: Vec<&str> = lines.iter().map(|line| line.split(';').next().unwrap_or("")).collect();
    assert_eq!(
        starts,
        [
            "keysweep.toml:2: `nats.replicas` is `6`",
            "keysweep.toml:3: `nats.url` is `http://me:***@h`",
            "keysweep.toml:4: `nats.context` is `../x`",
            "keysweep.toml:5: `nats.retention` is `5m`",
        ]
    );
}

const PROD: &str = r#"{"description": "", "url": "tls://n1,tls://n2", "user": "", "creds": "~/p.creds",
    "ca": "/etc/ca.pem", "jetstream_domain": "hub", "nkey": null, "color_scheme": 1}"#;

#[test]
fn a_context_is_read_like_the_nats_cli_does() {
    let contexts = Contexts::new("context", &[("prod", PROD), ("bare", "{}")]);
    let (home, prod) = (contexts.home(), contexts.file("prod"));
    let env = [("XDG_CONFIG_HOME", &*home), ("HOME", "/home/me")];
    let flag = [("--nats-context", "prod")];
    check(&flag, &env, "", "nats.context", "prod (flag --nats-context)");
    check(&flag, &env, "", "nats.url", &format!("tls://n1, tls://n2 ({prod})"));
    check(&flag, &env, "", "nats.creds", &format!("/home/me/p.creds ({prod})"));
    check(&flag, &env, "", "nats.ca", &format!("/etc/ca.pem ({prod})"));
    check(&flag, &env, "", "nats.domain", &format!("hub ({prod})"));
    check(&flag, &env, "", "nats.user", "none (default)");
    check(&[("--nats-context", "bare")], &env, "", "nats.url", "nats://127.0.0.1:4222 (default)");
    let variable = [env[0], env[1], ("NATS_CONTEXT", "prod")];
    check(&[], &variable, "", "nats.context", "prod (environment NATS_CONTEXT)");
}

#[test]
fn a_context_is_found_under_the_home_directory_too() {
    let contexts = Contexts::new("home", &[]);
    let dir = contexts.dir.join(".config/nats/context");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("a.json"), r#"{"url": "n"}"#).expect("a test file");
    let env = [("HOME", &*contexts.home())];
    let expected = format!("nats://n ({}/.config/nats/context/a.json)", contexts.home());
    check(&[("--nats-context", "a")], &env, "", "nats.url", &expected);
}

#[test]
fn a_context_stands_just_below_the_layer_that_names_it() {
    let contexts = Contexts::new("level", &[("prod", PROD)]);
    let (home, prod) = (contexts.home(), contexts.file("prod"));
    let env = [("XDG_CONFIG_HOME", &*home)];
    let in_file = "[nats]\ncontext = \"prod\"\ndomain = \"own\"\n";
    check(&[], &env, in_file, "nats.domain", "own (keysweep.toml:3)");
    check(&[], &env, in_file, "nats.ca", &format!("/etc/ca.pem ({prod})"));
    let of_flag = [("--nats-context", "prod")];
    check(&of_flag, &env, in_file, "nats.domain", &format!("hub ({prod})"));
    check(&of_flag, &env, "[nats]\nurl = \"f\"\n", "nats.url", &format!("tls://n1, tls://n2 ({prod})"));
    let both = [of_flag[0], URL];
    check(&both, &env, "", "nats.url", "nats://h (flag --nats)");
    check(&both, &env, "", "nats.ca", &format!("/etc/ca.pem ({prod})"));
    // A URL of a higher layer is another server: nothing of the context goes there.
    check(&[URL], &env, in_file, "nats.creds", "none (default)");
    check(&[URL], &env, in_file, "nats.context", "none (default)");
}

#[test]
fn a_context_that_cannot_be_used_names_its_path_and_the_way_out() {
    let broken = [
        ("list", "[]"),
        ("torn", "{\"password\": \"hush\","),
        ("number", r#"{"password": 4711}"#),
        ("url", r#"{"url": "http://me:hush@h"}"#),
    ];
    let contexts = Contexts::new("broken", &broken);
    let env = [("XDG_CONFIG_HOME", &*contexts.home())];
    let problem = |name: &str| shown("nats.url", &[("--nats-context", name)], &env, None);
    let expect = |name: &str, what: &str| {
        let out = "`nats context ls` lists the contexts, and `--nats URL` does without";
        assert_eq!(problem(name), format!("`--nats-context` is `{name}`, but {what}; {out}"));
    };
    let path = |name: &str| contexts.file(name);
    expect("gone", &format!("cannot read `{}`: No such file or directory (os error 2)", path("gone")));
    expect("list", &format!("`{}` is no JSON object", path("list")));
    expect("torn", &format!("`{}` is no JSON: line 1, column 20", path("torn")));
    expect("number", &format!("`{}` has a `password` that is no text", path("number")));
    let url = problem("url");
    assert!(url.starts_with(&format!("{}: `nats.url` is `http://me:***@h`; it takes", path("url"))), "{url}");
    let no_home = shown("nats.url", &[], &[("NATS_CONTEXT", "x")], None);
    assert!(no_home.starts_with("`NATS_CONTEXT` is `x`, but neither `XDG_CONFIG_HOME` nor"), "{no_home}");
    // The suggested flag works for every origin of the context.
    let way_out = shown("nats.url", &[URL], &[env[0], ("NATS_CONTEXT", "gone")], None);
    assert_eq!(way_out, "nats://h (flag --nats)");
}
