//! The job file: choosing a job and its Redis deployment, the design's example, and checking it all.

use proptest::prelude::*;

use super::*;

const DESIGN: &str = r#"
[redis.main]
urls = ["rediss://cache-1:6379", "rediss://cache-2:6379"]
username = "keysweep"

[nats]
context = "prod"

[[job]]
name = "permission-cache-cleanup"
display_name = "PermissionCacheCleanup"
redis = "main"
patterns = ["permissions:*"]
protect = ["permissions:system:*"]
schedule = "0 */6 * * *"
timezone = "Europe/Berlin"
action = "delete"
scan_batch_size = 1_00
aggressive_cleanup = false
inactivity_threshold_days = 30
generate_report = true
configured_ttl = "15m"
identity = "permissions:{user}:*"
activity = { zset = "permissions:warming" }
"#;

/// Some keys have two spellings.
#[test]
fn the_documents_own_names_are_aliases() {
    let text = "[[job]]\nname = \"j\"\nscanBatchSize = 50\naggressiveCleanup = false\n\
                inactivityThresholdDays = 7\ngenerateReport = false\n";
    for (name, expected) in [
        ("scan_batch_size", "50 (keysweep.toml:3)"),
        ("aggressive_cleanup", "false (keysweep.toml:4)"),
        ("inactivity_threshold_days", "7 (keysweep.toml:5)"),
        ("generate_report", "false (keysweep.toml:6)"),
    ] {
        assert_eq!(shown(name, &[], &[], Some(text)), expected);
    }
}

const TWO_JOBS: &str = "[[job]]\nname = \"a\"\ngrace = \"2s\"\n[[job]]\nname = \"b\"\ngrace = \"3s\"\n";

#[test]
fn the_designs_example_is_accepted() {
    let contexts = Contexts::new("design", &[("prod", r#"{"url": "tls://nats-1"}"#)]);
    let env = [("XDG_CONFIG_HOME", &*contexts.home())];
    let check = |name, expected: &str| assert_eq!(shown(name, &[], &env, Some(DESIGN)), expected);
    check("nats.context", "prod (keysweep.toml:7)");
    check("nats.url", &format!("tls://nats-1 ({})", contexts.file("prod")));
    check("urls", "rediss://cache-1:6379, rediss://cache-2:6379 (keysweep.toml:3)");
    check("username", "keysweep (keysweep.toml:4)");
    check("redis", "main (keysweep.toml:12)");
    check("timezone", "Europe/Berlin (keysweep.toml:16)");
    check("scan_batch_size", "100 (keysweep.toml:18)");
    check("generate_report", "true (keysweep.toml:21)");
    let names = check_file(Path::new(FILE), DESIGN).expect("no problems");
    assert_eq!(names, ["permission-cache-cleanup"]);
}

#[test]
fn a_job_is_chosen_by_name_and_the_only_one_by_itself() {
    assert_eq!(shown("grace", &[("--job", "b")], &[], Some(TWO_JOBS)), "3s (keysweep.toml:6)");
    assert_eq!(shown("grace", &[], &[("KEYSWEEP_JOB", "a")], Some(TWO_JOBS)), "2s (keysweep.toml:3)");
    assert_eq!(
        shown("grace", &[], &[], Some(TWO_JOBS)),
        "keysweep.toml has several jobs: name one with `--job`: `a`, `b`"
    );
    assert_eq!(
        shown("grace", &[("--job", "c")], &[], Some(TWO_JOBS)),
        "`--job` is `c`, but the jobs of keysweep.toml are `a`, `b`"
    );
    // Without jobs in a file, any name is accepted.
    assert_eq!(shown("name", &[], &[("KEYSWEEP_JOB", "c")], None), "c (environment KEYSWEEP_JOB)");
    assert_eq!(shown("name", &[("--job", "c")], &[], Some("")), "c (flag --job)");
    assert_eq!(shown("display_name", &[("--job", "rate-limits")], &[], None), "RateLimits (flag --job)");
    assert_eq!(shown("name", &[("--job", "a b")], &[], None).split(';').next(), Some("`--job` is `a b`"));
    assert_eq!(shown("name", &[], &[], Some("")), "permission-cache-cleanup (default)");
}

#[test]
fn the_redis_table_is_the_named_one_or_the_only_one() {
    let one = "[redis.east]\nurls = [\"redis://e\"]\n";
    let two = format!("{one}[redis.west]\nurls = [\"redis://w\"]\n");
    let job = |alias: &str| format!("{two}[[job]]\nname = \"j\"\nredis = \"{alias}\"\n");
    assert_eq!(shown("urls", &[], &[], Some(one)), "redis://e (keysweep.toml:2)");
    assert_eq!(shown("redis", &[], &[], Some(one)), "east (keysweep.toml:1)");
    assert_eq!(shown("urls", &[], &[], Some(&job("west"))), "redis://w (keysweep.toml:4)");
    assert_eq!(
        shown("urls", &[], &[], Some(&job("north"))),
        "keysweep.toml:7: `redis` is `north`; it takes the alias of one of `[redis.east]`, `[redis.west]`"
    );
    assert_eq!(
        shown("urls", &[], &[], Some(&two)),
        "the default of `redis` is `main`; it takes the alias of one of `[redis.east]`, `[redis.west]`"
    );
    assert_eq!(
        shown("redis", &[], &[("KEYSWEEP_REDIS_ALIAS", "x")], None),
        "x (environment KEYSWEEP_REDIS_ALIAS)"
    );
}

#[test]
fn checking_reports_every_problem_in_order() {
    let text = "[redis.main]\nurls = []\ncolour = 1\n[[job]]\nname = \"a b\"\ngrace = 5\n\
                redis = \"x\"\nscanBatchsize = 3\n[[job]]\ndb = \"x\"\n";
    let problems = check_file(Path::new(FILE), text).expect_err("problems");
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let starts: Vec<&str> = lines.iter().map(|line| line.split(';').next().unwrap_or("")).collect();
    assert_eq!(
        starts,
        [
            "keysweep.toml:2: `urls` is `a list of 0`",
            "keysweep.toml:3: unknown key `colour`",
            "keysweep.toml:5: `name` is `a b`",
            "keysweep.toml:6: `grace` is `5`",
            "keysweep.toml:7: `redis` is `x`",
            "keysweep.toml:8: unknown key `scanBatchsize`",
            "keysweep.toml:9: a job needs a `name`",
        ],
        "{lines:#?}"
    );
}

#[test]
fn a_file_is_found_by_flag_then_variable() {
    let dir = std::env::temp_dir().join(format!("keysweep-config-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a temporary directory");
    let path = |name: &str| dir.join(name).display().to_string();
    for name in ["a", "b"] {
        fs::write(dir.join(name), format!("[[job]]\nname = \"{name}\"\n")).expect("a test file");
    }
    let env = Environment::from_pairs([(CONFIG_FILE_VARIABLE, path("b"))]);
    let names = |flag: Option<&str>, env: &Environment| {
        JobFile::find(flag, env).map(|file| file.map(|file| file.job_names().concat()))
    };
    assert_eq!(names(Some(&path("a")), &env).expect("found").as_deref(), Some("a"));
    assert_eq!(names(None, &env).expect("found").as_deref(), Some("b"));
    assert_eq!(names(None, &Environment::default()).expect("no file is fine"), None);
    let error = names(Some(&path("c")), &env).expect_err("no such file").to_string();
    assert!(error.starts_with(&format!("`--config`: cannot read `{}`: No such file", path("c"))), "{error}");
    fs::remove_dir_all(&dir).expect("it was ours");
}

fn toml_like() -> impl Strategy<Value = String> {
    let pieces = [
        "[redis.main]\n",
        "[redis]\n",
        "[[job]]\n",
        "[job]\n",
        "[nats]\n",
        "name = \"a\"\n",
        "urls = [\"redis://h\"]\n",
        "patterns = [1, [2]]\n",
        "grace = ",
        "\"1s\"\n",
        "5\n",
        "redis.main = 1\n",
        "activity = { a = 1 }\n",
        "é",
        "\"",
        "\n",
        "=",
        "[",
        "]",
        "{",
        "password = \"x\"\n",
        "db = 0x1f\n",
        "dry_run = 1979-05-27\n",
        "name = []\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..20).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![toml_like(), ".{0,200}"]) {
        let checked = check_file(Path::new(FILE), &text);
        if let Ok(file) = JobFile::parse(Path::new(FILE), &text) {
            for job in file.job_names().iter().map(Some).chain([None]) {
                let mut layer = FlagLayer::default();
                layer.value("--job", job.map(String::as_str));
                let resolved = resolve(&layer, &Environment::default(), Some(&file));
                prop_assert!(job.is_none() || checked.is_err() || resolved.is_ok(), "{resolved:?}");
            }
        } else {
            prop_assert!(checked.is_err());
        }
    }
}

#[test]
fn the_table_of_the_service_holds_its_token() {
    let text = format!("[serve]\napi_token = \"word\"\n{TWO_JOBS}");
    let job = [("--job", "a")];
    assert_eq!(shown("serve.api_token", &job, &[], Some(&text)), "*** (keysweep.toml:2)");
    let above = [("KEYSWEEP_API_TOKEN", "other")];
    let token = |env: &[(&str, &str)], text: &str| {
        let settings =
            resolve(&flags(&job), &Environment::from_pairs(env.iter().copied()), Some(&file(text)));
        let token = settings.expect("good settings").api_token.value.expect("a token");
        token.read().map(|token| token.expose().to_owned()).map_err(|e| e.to_string())
    };
    assert_eq!((token(&[], &text), token(&above, &text)), (Ok("word".to_owned()), Ok("other".to_owned())));
    // The file is read only when it is needed.
    let text = text.replace("api_token = \"word\"", "api_token_file = \"/gone/token\"");
    let error = token(&[], &text).expect_err("it is not there");
    assert!(error.contains("/gone/token") && error.contains("keysweep.toml:2"), "{error}");
    let both =
        "[serve]\napi_token = \"word\"\napi_token_file = \"f\"\n[[job]]\nname = \"a\"\ntoken = \"x\"\n";
    let problems = check_file(Path::new(FILE), both).expect_err("two problems");
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.contains("either `api_token` or `api_token_file`")), "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("word")), "{texts:?}");
}

#[test]
fn the_address_of_the_endpoints_is_in_the_table_of_the_service() {
    let text = |value: &str| format!("[serve]\nadmin_addr = \"{value}\"\n{TWO_JOBS}");
    let job = [("--job", "a")];
    let good = text("[::1]:9464");
    assert_eq!(shown("serve.admin_addr", &job, &[], Some(&good)), "[::1]:9464 (keysweep.toml:2)");
    let env = [("KEYSWEEP_ADMIN_ADDR", "0.0.0.0:1")];
    let above = "0.0.0.0:1 (environment KEYSWEEP_ADMIN_ADDR)";
    assert_eq!(shown("serve.admin_addr", &job, &env, Some(&good)), above);
    // Alone, it needs no job to be chosen.
    let alone = admin_addr(&flags(&[]), &Environment::default(), Some(&file(&good)));
    assert_eq!(alone.unwrap().map(|address| address.value.port()), Some(9464));
    for bad in ["9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:65536", ""] {
        let problems = check_jobs(Path::new(FILE), &text(bad)).problems;
        let said = problems.first().expect("a problem").to_string();
        assert!(said.contains("keysweep.toml:2") && said.contains("`127.0.0.1:9464`"), "{said}");
    }
}

#[test]
fn the_certificate_of_the_endpoints_comes_with_its_key() {
    let both = "[serve]\nadmin_cert = \"c.pem\"\nadmin_key = \"/k.pem\"\n";
    assert_eq!(shown("serve.admin_key", &[], &[], Some(both)), "/k.pem (keysweep.toml:3)");
    let check = |env: &[(&str, &str)], lines: &str, expected: &str| {
        let file = file(&format!("[serve]\n{lines}\n"));
        let error = resolve(&flags(&[]), &Environment::from_pairs(env.iter().copied()), Some(&file));
        assert_eq!(error.expect_err("one alone").to_string(), expected);
    };
    let key = "`serve.admin_key` as well (`--admin-key`)";
    check(&[], "admin_cert = \"c\"", &format!("keysweep.toml:2: `serve.admin_cert` needs {key}"));
    check(&[("KEYSWEEP_ADMIN_CERT", "c")], "", &format!("`KEYSWEEP_ADMIN_CERT` needs {key}"));
    let cert = "`serve.admin_cert` as well (`--admin-cert`)";
    check(&[], "admin_key = \"k\"", &format!("keysweep.toml:2: `serve.admin_key` needs {cert}"));
}

#[test]
fn the_table_of_the_service_names_one_state_directory_for_all_jobs() {
    let jobs = "[[job]]\nname = \"a\"\nstate_dir = \"/a\"\n[[job]]\nname = \"b\"\n";
    let text = |serve: &str| format!("[serve]\nstate_dir = \"{serve}\"\n{jobs}");
    let check = |env: &[(&str, &str)], flag: &[(&'static str, &str)], text: &str, expected: &str| {
        for job in ["a", "b"] {
            let given: Vec<_> = [("--job", job)].iter().chain(flag).copied().collect();
            assert_eq!(shown("state_dir", &given, env, Some(text)), expected, "{job}");
        }
    };
    check(&[], &[], &text("/all"), "/all (keysweep.toml:2)");
    check(&[], &[], &text("none"), "none (keysweep.toml:2)");
    let own = [("KEYSWEEP_STATE_DIR", "/own")];
    check(&own, &[], &text("/all"), "/own (environment KEYSWEEP_STATE_DIR)");
    check(&own, &[("--state-dir", "/flag")], &text("/all"), "/flag (flag --state-dir)");
    let shared = [("KEYSWEEP_SERVE_STATE_DIR", "/shared"), own[0]];
    check(&shared, &[], jobs, "/shared (environment KEYSWEEP_SERVE_STATE_DIR)");
}

#[test]
fn the_table_of_the_service_describes_its_page() {
    let text = "[serve]\nview_token_file = \"t\"\ndashboard = true\nhosts = [\"Sweep.Example\", \"k\"]\n[[job]]\nname = \"a\"\n";
    assert_eq!(shown("serve.hosts", &[], &[], Some(text)), "sweep.example, k (keysweep.toml:4)");
    assert_eq!(shown("serve.dashboard", &[], &[], Some(text)), "true (keysweep.toml:3)");
    assert_eq!(shown("serve.dashboard_keys", &[], &[], Some(text)), "false (default)");
    let check = |line: &str, words: &str| {
        let text = format!("[serve]\n{line}\n[[job]]\nname = \"a\"\n");
        let problems = check_file(Path::new(FILE), &text).expect_err("a problem");
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(texts.iter().any(|text| text.contains(words)), "{texts:?}");
    };
    for host in ["", "a:80", "a/b", "http://a", "a b"] {
        check(&format!("hosts = [\"{host}\"]"), "without a port");
    }
    check("view_token = \"a\"\nview_token_file = \"b\"", "either `view_token` or `view_token_file`");
}

#[test]
fn several_secret_urls_fit_a_variable() {
    let env = [("KEYSWEEP_WEBHOOKS", "https://a/x?y=1,2,https://b/z")];
    assert_eq!(shown("webhooks", &[], &env, None), "***, *** (environment KEYSWEEP_WEBHOOKS)");
}

#[test]
fn what_requests_may_ask_for_is_a_list_of_their_fields() {
    let job = |list: &str| format!("[[job]]\nname = \"a\"\nallow_override = {list}\n");
    let check = |list: &str, expected: &str| {
        assert_eq!(shown("allow_override", &[], &[], Some(&job(list))), expected);
    };
    check("[]", "none (keysweep.toml:3)");
    let both = "[\"aggressive_cleanup\", \"rateLimit\"]";
    check(both, "aggressiveCleanup, rateLimit (keysweep.toml:3)");
    assert!(check_file(Path::new(FILE), &job(both)).is_ok());
    let variable = [("KEYSWEEP_ALLOW_OVERRIDE", "dry_run, maxSpeed")];
    let given = "dryRun, maxSpeed (environment KEYSWEEP_ALLOW_OVERRIDE)";
    assert_eq!(shown("allow_override", &[], &variable, None), given);
    for wrong in ["patterns", "startedBy", "Rate_Limit", "aggressivecleanup", ""] {
        let problems =
            check_file(Path::new(FILE), &job(&format!("[\"{wrong}\"]"))).expect_err("no such field");
        let line = problems[0].to_string();
        let start =
            format!("keysweep.toml:3: `allow_override` is `{wrong}`; it takes some of `aggressiveCleanup`, ");
        assert!(problems.len() == 1 && line.starts_with(&start), "{line}");
    }
}
