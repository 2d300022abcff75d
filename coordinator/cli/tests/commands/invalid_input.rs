//! Mistakes on the command line, in the environment and in the job file: exit code 2, with the problem, its place and
//! valid values; no connection is opened. And the output of `config`.

use std::fs;
use std::path::PathBuf;

use crate::cli::{SECRET, keysweep};

/// A job file of the test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("it can be written");
    path
}

#[test]
fn flags_and_variables_that_make_no_sense() {
    let check = |args: &[&str], texts: &[&str]| {
        let all: Vec<&str> = ["run", "--json", "-v"].iter().chain(args).copied().collect();
        keysweep(&all).run().fails(2, texts);
    };
    check(&["--no-such-flag"], &["--no-such-flag"]);
    check(&["--grace"], &["--grace"]);
    check(&["--grace", "5"], &["`--grace`", "`5`", "500ms"]);
    check(&["--grace", "99999999h"], &["`--grace`", "from"]);
    check(&["--max-delete-percent", "101"], &["`--max-delete-percent`", "`101`", "from 0 to 100"]);
    check(&["--scan-batch-size", "0"], &["`--scan-batch-size`", "from 1"]);
    check(&["--latency-budget", "0s"], &["`--latency-budget`", "`0s`", "from 1ms"]);
    check(&["--latency-budget=-1ms"], &["`--latency-budget`", "a duration such as"]);
    check(&["--latency-budget", "1"], &["`--latency-budget`", "a unit is missing"]);
    check(&["--latency-budget", "none"], &["`--latency-budget`", "`none`"]);
    check(&["--rate-limit", "0"], &["`--rate-limit`", "a whole number from 1"]);
    check(&["--rate-limit=-5"], &["`--rate-limit`", "`-5`", "a whole number from 1"]);
    check(&["--rate-limit", "1e3"], &["`--rate-limit`", "`1e3`"]);
    check(&["--max-speed", "--latency-budget", "2ms"], &["`--max-speed`", "`--latency-budget`", "leave one"]);
    check(&["--db", "x"], &["`--db`", "a whole number"]);
    check(&["--db=-1"], &["`--db`", "a whole number"]);
    check(&["--action", "explode"], &["`--action`", "`delete`, `expire`, `report`"]);
    check(&["--pattern", ""], &["`--pattern`", "1 to 1024 bytes"]);
    check(&["--redis", "http://cache"], &["`--redis`", "redis://host:6379"]);
    check(&["--redis", "cache:6379"], &["`--redis`", "redis://host:6379"]);
    check(&["--redis", &format!("redis://me:{SECRET}@cache:port")], &["`--redis`", "redis://me:***@"]);
    check(&["--redis", &format!("redis://me:{SECRET}/{SECRET}@cache:1")], &["`--redis`", "***"]);
    check(&["--password-file", "/no/such/file"], &["--password-file", "/no/such/file"]);
    check(&["--config", "/no/such/file"], &["--config", "/no/such/file"]);
    check(&["--aggressive"], &["`aggressive_cleanup`", "flag --aggressive", "`activity`", "zset:KEY"]);
    check(&["--aggressive", "--activity", "zset:a"], &["`identity`", "`permissions:{user}:*`"]);
    check(&["--identity", "permissions:*"], &["`identity`", "flag --identity", "has no `{user}`"]);
    check(&["--identity", "{user}:{user}"], &["`identity`", "more than once"]);
    check(&["--activity", "list:a"], &["`--activity`", "`zset:…`, `set:…`, `idletime`"]);
    let idle = ["--aggressive", "--activity", "idletime", "--inactivity-days", "195"];
    check(&idle, &["`inactivity_threshold_days`", "`195`", "from 1 to 194"]);
    let verified = ["--aggressive", "--activity", "idletime", "--verify", "value"];
    check(&verified, &["`verify` is `value`", "`activity` is `idletime`", "leave out one of them"]);
    let bad = |name: &str, value: &str| keysweep(&["run", "--json"]).env(name, value).run();
    bad("KEYSWEEP_GRACE", "soon").fails(2, &["`KEYSWEEP_GRACE`", "`soon`", "500ms"]);
    bad("REDIS_URL", &format!("redis://:{SECRET}@")).fails(2, &["`REDIS_URL`", "***"]);
    bad("AGGRESSIVE_CACHE_CLEANUP", "maybe").fails(2, &["`AGGRESSIVE_CACHE_CLEANUP`", "`true` or `false`"]);
}

#[test]
fn job_files_that_make_no_sense() {
    let check = |name: &str, text: &str, texts: &[&str]| {
        let path = file(name, text);
        let path = path.to_str().expect("the path is UTF-8");
        keysweep(&["run", "--json", "-v", "--config", path]).run().fails(2, texts);
        let checked = keysweep(&["config", "check", path]).run();
        checked.exits(2);
        for text in texts {
            assert!(checked.stdout.contains(text), "{text}\n{checked}");
        }
        let json = keysweep(&["config", "check", "--json", path]).run();
        assert!(json.exits(2).json()["problems"].as_array().is_some_and(|all| !all.is_empty()), "{json}");
    };
    check("syntax.toml", "[redis.main]\nurls = [\"redis://a\"]\n\n[[job]\n", &["syntax.toml:4"]);
    check(
        "key.toml",
        "[[job]]\nname = \"a\"\npaterns = [\"a:*\"]\n",
        &["key.toml:3", "`paterns`", "`patterns`"],
    );
    check("table.toml", "\n[jobs]\n", &["table.toml:2", "`jobs`"]);
    check("type.toml", "[[job]]\nname = \"a\"\ngrace = 5\n", &["type.toml:3", "`grace`", "500ms"]);
    check(
        "value.toml",
        "[[job]]\nname = \"a\"\nmax_delete_percent = 150\n",
        &["value.toml:3", "from 0 to 100"],
    );
    check("name.toml", "[[job]]\nname = \"a b\"\n", &["name.toml:2", "`name`", "letters"]);
}

#[test]
fn settings_are_shown_with_their_origins_and_without_secrets() {
    let path = file(
        "origins.toml",
        &format!(
            "[redis.main]\nurls = [\"redis://me:{SECRET}@cache:6379\"]\n\n[[job]]\nname = \"nightly\"\n\
             redis = \"main\"\npatterns = [\"sessions:*\"]\ngrace = \"3s\"\nscan_batch_size = 500\n"
        ),
    );
    let path = path.to_str().expect("the path is UTF-8");
    let show = |json: &[&str]| {
        let args = ["config", "show", "--config", path, "--scan-batch-size", "50"];
        let all: Vec<&str> = args.iter().chain(json).copied().collect();
        let ended =
            keysweep(&all).env("CACHE_INACTIVITY_THRESHOLD_DAYS", "7").env("REDISCLI_AUTH", SECRET).run();
        ended.exits(0);
        ended
    };
    let json = show(&["--json"]).json();
    let rows = json["settings"].as_array().expect("rows");
    let origin = |name: &str, value: &str, origin: &str| {
        let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {json:#}"));
        assert_eq!(row["value"], value, "{json:#}");
        assert!(row["origin"].as_str().is_some_and(|at| at.ends_with(origin)), "{name}: {json:#}");
    };
    origin("scan_batch_size", "50", "flag --scan-batch-size");
    origin("inactivity_threshold_days", "7", "CACHE_INACTIVITY_THRESHOLD_DAYS");
    origin("grace", "3s", "origins.toml:8");
    origin("urls", "redis://me:***@cache:6379", "origins.toml:2");
    origin("delete_batch_size", "100", "default");
    let page = show(&[]).stdout;
    assert!(page.contains("origins.toml:8") && page.contains("flag --scan-batch-size"), "{page}");
    // `--job` chooses one of the file's jobs.
    let ended = keysweep(&["run", "--json", "--config", path, "--job", "hourly"]).run();
    ended.fails(2, &["hourly", "nightly"]);
}

#[test]
fn a_new_job_file_is_valid_and_replaces_nothing() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("init.toml");
    let _ = fs::remove_file(&path);
    let name = path.to_str().expect("the path is UTF-8");
    let printed = keysweep(&["config", "init"]).run();
    keysweep(&["config", "init", "--output", name]).run().exits(0);
    assert_eq!(printed.exits(0).stdout, fs::read_to_string(&path).expect("the file is written"));
    keysweep(&["config", "check", name]).run().exits(0);
    fs::write(&path, "mine").expect("it can be written");
    keysweep(&["config", "init", "--json", "--output", name]).run().fails(2, &["init.toml", "exists"]);
    assert_eq!(fs::read_to_string(&path).expect("the file stays"), "mine");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    for args in [
        &["config", "show"][..],
        &["config", "init"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
        &["run", "--help"],
    ] {
        assert_eq!(keysweep(args).run_unread().code(), Some(0), "{args:?}");
    }
    assert_eq!(keysweep(&["run", "--no-such-flag"]).run_unread().code(), Some(2));
}

#[test]
fn a_check_names_every_problem_in_addition_to_a_missing_secret() {
    let text = |more: &str| {
        format!("[redis.main]\nurls = [\"redis://a\"]\npassword_file = \"/no/such/secret\"\n{more}")
    };
    let check = |name: &str, more: &str, code, problems: &[&str]| {
        let path = file(name, &text(more));
        let path = path.to_str().expect("the path is UTF-8");
        let ended = keysweep(&["config", "check", path]).run();
        assert!(ended.exits(code).stdout.contains("not checked: "), "{ended}");
        let json = keysweep(&["config", "check", "--json", path]).run();
        let json = json.exits(code).json();
        let texts = |name: &str| json[name].as_array().expect("a list").clone();
        assert!(
            texts("unread").len() == 1 && texts("unread")[0].to_string().contains("/no/such/secret"),
            "{json}"
        );
        assert_eq!(texts("problems").len(), problems.len(), "{json}");
        for (found, expected) in texts("problems").iter().zip(problems) {
            assert!(found.to_string().contains(expected), "`{expected}` is not in {found}");
        }
    };
    check("secret.toml", "[[job]]\nname = \"a\"\n", 0, &[]);
    let jobs = "cert = \"c.pem\"\n\
        [[job]]\nname = \"a\"\nschedule = \"never\"\naggressive_cleanup = true\n\
        [[job]]\nname = \"b\"\nschedule = \"soon\"\nmax_speed = true\nlatency_budget = \"2ms\"\n\
        [[job]]\nname = \"c\"\nschedule = \"late\"\ngrace = 5\nmax_delete_percent = 150\nactivity = \"list:a\"\naggressive_cleanup = true\n";
    let problems = [
        "`grace` is `5`",
        "`max_delete_percent` is `150`",
        "`activity` is",
        "`cert` needs `key`",
        "`cert` is about TLS",
        "`max_speed` goes without a latency budget",
        "`schedule` of job `a`",
        "`schedule` of job `b`",
        "`schedule` of job `c`",
        "job `a`: ",
    ];
    check("all.toml", jobs, 2, &problems);
}
