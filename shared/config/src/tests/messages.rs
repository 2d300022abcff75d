//! Error messages.

use super::*;

/// The error of one line in a job.
#[track_caller]
fn check_job(line: &str, expected: &str) {
    let text = format!("[[job]]\nname = \"j\"\n{line}\n");
    assert_eq!(shown("grace", &[], &[], Some(&text)), expected, "{line}");
}

/// The error of one flag.
#[track_caller]
fn check_flag(flag: &'static str, text: &str, expected: &str) {
    assert_eq!(shown("grace", &[(flag, text)], &[], None), expected);
}

/// The error of a whole file.
#[track_caller]
fn check_text(text: &str, expected: &str) {
    assert_eq!(shown("grace", &[], &[], Some(text)), expected, "{text}");
}

const SCAN: &str = "it takes a whole number from 1 to 10000";

#[test]
fn a_bad_value_names_its_place_its_text_and_what_is_right() {
    check_job("scan_batch_size = \"abc\"", &format!("keysweep.toml:3: `scan_batch_size` is `abc`; {SCAN}"));
    check_job("scan_batch_size = 0", &format!("keysweep.toml:3: `scan_batch_size` is `0`; {SCAN}"));
    check_job(
        "scan_batch_size = [1, 2]",
        &format!("keysweep.toml:3: `scan_batch_size` is `a list of 2`; {SCAN}"),
    );
    check_flag("--scan-batch-size", "10001", &format!("`--scan-batch-size` is `10001`; {SCAN}"));
    check_flag("--scan-batch-size", "+5", &format!("`--scan-batch-size` is `+5`; {SCAN}"));
    let env = [("KEYSWEEP_SCAN_BATCH_SIZE", "-1")];
    assert_eq!(shown("grace", &[], &env, None), format!("`KEYSWEEP_SCAN_BATCH_SIZE` is `-1`; {SCAN}"));
    check_flag("--action", "drop", "`--action` is `drop`; it takes one of `delete`, `expire`, `report`");
    check_job("dry_run = \"maybe\"", "keysweep.toml:3: `dry_run` is `maybe`; it takes `true` or `false`");
    check_flag(
        "--max-delete-percent",
        "101",
        "`--max-delete-percent` is `101`; it takes a whole number from 0 to 100",
    );
}

#[test]
fn a_duration_without_a_unit_gets_a_hint() {
    let right = "it takes a duration such as `500ms`, `15m` or `6h`, from 0s to 5m";
    let units = "a unit is missing: write `5ms`, `5s` or `5m`";
    check_flag("--grace", "5", &format!("`--grace` is `5`; {right}; {units}"));
    check_flag("--grace", "400", &format!("`--grace` is `400`; {right}; a unit is missing: write `400ms`"));
    check_flag("--grace", "0", &format!("`--grace` is `0`; {right}; a unit is missing: write `0ms`"));
    check_flag("--grace", "999999999", &format!("`--grace` is `999999999`; {right}"));
    let budget = "it takes a duration such as `500ms`, `15m` or `6h`, from 1ms to 10s";
    let units_of_one = "a unit is missing: write `1ms` or `1s`";
    check_flag("--latency-budget", "1", &format!("`--latency-budget` is `1`; {budget}; {units_of_one}"));
    check_flag("--grace", "1h", &format!("`--grace` is `1h`; {right}"));
    check_job("grace = 5", &format!("keysweep.toml:3: `grace` is `5`; {right}; {units}"));
}

#[test]
fn a_size_without_a_unit_gets_a_hint() {
    let right = "it takes a number of bytes such as `64KiB` or `4MiB`, from 1KiB to 256MiB";
    let (flag, said) = ("--backup-value-max", "`--backup-value-max` is");
    check_flag(flag, "4", &format!("{said} `4`; {right}; a unit is missing: write `4KiB` or `4MiB`"));
    check_flag(flag, "4MB", &format!("{said} `4MB`; {right}"));
    check_flag(flag, "1GiB", &format!("{said} `1GiB`; {right}"));
    assert_eq!(shown("backup_value_max", &[(flag, "4MiB")], &[], None), "4194304 (flag --backup-value-max)");
    assert_eq!(shown("backup_value_max", &[(flag, "2048")], &[], None), "2048 (flag --backup-value-max)");
}

#[test]
fn full_speed_and_a_latency_budget_exclude_each_other_within_a_layer() {
    let both = [("--latency-budget", "2ms"), ("--max-speed", "true")];
    let right = "leave one of them out (a `--rate-limit` may stand beside either)";
    assert_eq!(
        shown("max_speed", &both, &[], None),
        format!("`--max-speed` goes without a latency budget, but `--latency-budget` sets one; {right}")
    );
    check_job(
        "max_speed = true\nlatency_budget = \"2ms\"",
        &format!(
            "keysweep.toml:3: `max_speed` goes without a latency budget, but keysweep.toml:4: `latency_budget` sets one; \
             {right}"
        ),
    );
    check_flag(
        "--latency-budget",
        "0ms",
        "`--latency-budget` is `0ms`; it takes a duration such as `500ms`, `15m` or `6h`, from 1ms to 10s",
    );
    check_flag("--rate-limit", "0", "`--rate-limit` is `0`; it takes a whole number from 1 to 1000000000");
    // The higher layer wins.
    let text = "[[job]]\nname = \"j\"\nlatency_budget = \"2ms\"\n";
    let fast = [("--max-speed", "true"), ("--rate-limit", "5")];
    assert_eq!(shown("latency_budget", &fast, &[], Some(text)), "none (flag --max-speed)");
    let env = [("KEYSWEEP_MAX_SPEED", "true")];
    assert_eq!(
        shown("latency_budget", &[("--latency-budget", "3ms")], &env, None),
        "3ms (flag --latency-budget)"
    );
    assert_eq!(
        shown("max_speed", &[("--latency-budget", "3ms")], &env, None),
        "false (flag --latency-budget)"
    );
    assert_eq!(shown("latency_budget", &[], &[], None), "1ms (default)");
}

#[test]
fn patterns_have_a_length_and_name_their_own_line() {
    let right = "it takes up to 100 patterns of 1 to 1024 bytes, such as `permissions:*`";
    check_job("patterns = [\"a\",\n\"\"]", &format!("keysweep.toml:4: `patterns` is ``; {right}"));
    check_job("patterns = []", &format!("keysweep.toml:3: `patterns` is `a list of 0`; {right}"));
    let long = "x".repeat(1025);
    check_flag("--protect", &long, &format!("`--protect` is `{}…`; {right}", &long[..80]));
}

#[test]
fn a_bad_url_is_shown_without_its_password() {
    let right = "it takes one or more URLs such as `redis://host:6379` (or `rediss`, `valkey`, \
                 `valkeys`, `unix`, and `redis+sentinel://host:26379/name`), each with its scheme";
    check_flag("--redis", "cache:6379", &format!("`--redis` is `cache:6379`; {right}"));
    let hint = "; in a password, write `#`, `/`, `?`, `%` and `@` percent-encoded: `%23`, `%2F`, `%3F`, `%25` and `%40`";
    for word in ["p#w", "p/w", "p?w", "p%w", "12#w", "12?w"] {
        let url = format!("redis://me:{word}@h");
        check_flag("--redis", &url, &format!("`--redis` is `redis://me:***@h`; {right}{hint}"));
    }
    let env = [("REDIS_URL", "http://me:p,w@h")];
    assert_eq!(shown("grace", &[], &env, None), format!("`REDIS_URL` is `http://me:***@h`; {right}"));
    check_text(
        "[redis.main]\npassword = [\"a\", \"b\"]\n",
        "keysweep.toml:2: `password` is `a list of 2`; it takes a password that is not empty",
    );
    check_text(
        "[redis.main]\npassword = \"\"\n",
        "keysweep.toml:2: `password` is `***`; it takes a password that is not empty",
    );
}

#[test]
fn control_characters_are_escaped() {
    check_job(
        "timezone = \"a\\u001b[2J\"",
        "keysweep.toml:3: `timezone` is `a\\u{1b}[2J`; it takes a text of 1 to 1024 bytes",
    );
}

#[test]
fn an_unknown_key_names_the_nearest() {
    check_job(
        "scan_batchsize = 5",
        "keysweep.toml:3: unknown key `scan_batchsize`; did you mean `scan_batch_size`?",
    );
    check_job(
        "deleteBatchSize = 5",
        "keysweep.toml:3: unknown key `deleteBatchSize`; did you mean `delete_batch_size`?",
    );
    check_job(
        "scan_batch_size = 5\nscanBatchSize = 6",
        "keysweep.toml:3: `scan_batch_size` is given twice, in two spellings",
    );
    check_job("colour = 5", "keysweep.toml:3: unknown key `colour`");
    check_job("urls = []", "keysweep.toml:3: unknown key `urls`; it belongs under `[redis.<alias>]`");
    check_text(
        "[redis.main]\npatterns = []\n",
        "keysweep.toml:2: unknown key `patterns`; it belongs under `[[job]]`",
    );
    check_text("[[jobs]]\n", "keysweep.toml:1: unknown key `jobs`; did you mean `job`?");
    check_text(
        "\n[nats]\ncontxt = \"x\"\n",
        "keysweep.toml:3: unknown key `contxt`; did you mean `context`?",
    );
    check_text("[nats]\nurls = []\n", "keysweep.toml:2: unknown key `urls`; did you mean `url`?");
    check_text("[redis.main]\nurl = 1\n", "keysweep.toml:2: unknown key `url`; did you mean `urls`?");
    check_text(
        "[nats]\ngrace = \"1s\"\n",
        "keysweep.toml:2: unknown key `grace`; it belongs under `[[job]]`",
    );
    check_job("ack_wait = \"1s\"", "keysweep.toml:3: unknown key `ack_wait`; it belongs under `[nats]`");
}

#[test]
fn a_wrong_type_explains_what_to_write() {
    check_text(
        "[job]\nname = \"x\"\n",
        "keysweep.toml:1: jobs are a list: write `[[job]]` with two brackets",
    );
    check_text("job = [1]\n", "keysweep.toml:1: jobs are tables: write `[[job]]`");
    check_text("redis = \"x\"\n", "keysweep.toml:1: `redis` takes tables with an alias: `[redis.main]`");
    check_text(
        "[redis]\nurls = []\n",
        "keysweep.toml:2: `redis.urls` needs an alias: put it under `[redis.main]`",
    );
    check_text("\n[[job]]\ngrace = \"1s\"\n", "keysweep.toml:2: a job needs a `name`");
    check_text(
        "[[job]]\nname = \"a\"\n[[job]]\nname = \"a\"\n",
        "keysweep.toml:3: the job `a` already stands in line 2",
    );
    check_job("patterns = [[1]]", "keysweep.toml:3: `patterns` takes a value or a list of values");
    check_text("nats = 1\n", "keysweep.toml:1: `nats` takes a table: `[nats]`");
    check_text("[nats]\nurl = 1\n[nats.x]\n", "keysweep.toml:3: unknown key `x`");
    check_text(
        "[redis.main]\npassword = \"a\"\npassword_file = \"b\"\n",
        "keysweep.toml:1: give either `password` or `password_file`, not both",
    );
}

#[test]
fn bad_toml_names_line_and_column() {
    let problem = |text| shown("grace", &[], &[], Some(text));
    assert!(
        problem("[[job]]\nname = é\n").starts_with("keysweep.toml:2:8: "),
        "{}",
        problem("[[job]]\nname = é\n")
    );
    assert!(
        problem("a = 1\na = 2\n").starts_with("keysweep.toml:2:1: duplicate key"),
        "{}",
        problem("a = 1\na = 2\n")
    );
    assert!(problem("[[job]").starts_with("keysweep.toml:1:"), "{}", problem("[[job]"));
}

#[test]
fn a_check_goes_on_after_each_problem() {
    let text = "[redis.main]\nurls = [\"redis://a\"]\npassword_file = \"/no/such/secret\"\nkey = \"k\"\n\
                [nats]\nurl = \"nats://n\"\npassword = \"p\"\n\
                [[job]]\nname = \"a\"\nmax_speed = true\nlatency_budget = \"2ms\"\n\
                [[job]]\nname = \"b\"\ngrace = 5\nredis = \"north\"\n";
    let CheckedFile { jobs, problems, unread } = check_jobs(Path::new(FILE), text);
    let starts = |problems: &[ConfigError], expected: &[&str]| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), expected.len(), "{texts:#?}");
        for (text, start) in texts.iter().zip(expected) {
            assert!(text.starts_with(start), "`{text}` does not start with `{start}`");
        }
    };
    let expected = [
        "keysweep.toml:7: `nats.password` needs `nats.user`",
        "keysweep.toml:4: `key` needs `cert`",
        "keysweep.toml:10: `max_speed` goes without a latency budget",
        "keysweep.toml:15: `redis` is `north`",
        "keysweep.toml:14: `grace` is `5`",
    ];
    starts(&problems, &expected);
    starts(&unread, &["keysweep.toml:3: cannot read `/no/such/secret`"]);
    let whole: Vec<(&str, bool)> =
        jobs.iter().map(|job| (job.settings.job.value.as_str(), job.is_whole)).collect();
    assert_eq!(whole, [("a", true), ("b", false)]);
}
