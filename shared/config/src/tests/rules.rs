//! Rules of a job: `[[job.rule]]`.

use keysweep_model::messages::{Jitter, RuleAction};

use super::*;

const POLICY: &str = r#"
[[job]]
name = "hygiene"

[[job.rule]]
match = ["user:*:profile"]
durable = true
owner = "accounts"

[[job.rule]]
match = "cache:page:*"
except = ["cache:page:home"]
ttl = "1h"
jitter = "20%"
max_ttl = "7d"

[[job.rule]]
match = ["tmp:*"]
where = """
ttl = none and idle > 7d
and type in (string, hash)"""
action = "delete"
"#;

/// A job with these rules.
fn job(rules: &str) -> String {
    format!("[[job]]\nname = \"j\"\n{rules}")
}

/// The problems of a file, one on each line.
fn problems(text: &str) -> String {
    let texts =
        |problems: Vec<ConfigError>| -> Vec<String> { problems.iter().map(ToString::to_string).collect() };
    let found = check_file(Path::new(FILE), text).map_or_else(texts, |_| Vec::new());
    let again = texts(check_jobs(Path::new(FILE), text).problems);
    assert!(again.iter().all(|problem| found.contains(problem)), "{again:?} {found:?}");
    found.join("\n")
}

#[track_caller]
fn check(rules: &str, expected: &str) {
    assert_eq!(problems(&job(rules)), expected, "{rules}");
}

#[test]
fn rules_are_read_and_shown_with_their_lines() {
    assert_eq!(problems(POLICY), "");
    let file = JobFile::parse(Path::new(FILE), POLICY).expect("a good shape");
    let settings =
        resolve(&FlagLayer::default(), &Environment::default(), Some(&file)).expect("good settings");
    let [durable, cache, temporary] = settings.rules.as_slice() else { panic!("{:?}", settings.rules) };
    assert!(durable.value.durable && durable.value.owner.as_deref() == Some("accounts"));
    let given = (cache.value.ttl_ms, cache.value.jitter, cache.value.max_ttl_ms);
    assert_eq!(given, (Some(3_600_000), Some(Jitter::Percent(20)), Some(604_800_000)));
    assert_eq!(temporary.value.action, Some(RuleAction::Delete));
    let rows = settings.rows();
    let shown: Vec<String> = rows
        .iter()
        .filter(|row| row.name == "rule")
        .map(|row| format!("{} ({})", row.value, row.origin))
        .collect();
    assert_eq!(
        shown,
        [
            "match = user:*:profile; durable = true; owner = accounts (keysweep.toml:5)",
            "match = cache:page:*; except = cache:page:home; ttl = 1h; jitter = 20%; max_ttl = 7d (keysweep.toml:10)",
            "match = tmp:*; where = ttl = none and idle > 7d\\nand type in (string, hash); action = delete \
             (keysweep.toml:17)",
        ]
    );
    assert!(
        rows.iter().all(|row| !["patterns", "action"].contains(&row.name)),
        "the short form is not shown"
    );
}

#[test]
fn mistakes_in_fields_are_named_with_their_line() {
    let rule = "[[job.rule]]\nmatch = [\"a:*\"]\n";
    check(
        &format!("{rule}ttl = \"1 hour\"\n"),
        "keysweep.toml:5: `ttl` is `1 hour`; it takes a duration such as `500ms`, `15m` or `6h`, from 1s to 3650d",
    );
    check(
        &format!("{rule}ttl = \"1h\"\njitter = \"110%\"\n"),
        "keysweep.toml:6: `jitter` is `110%`; it takes `0%` to `100%`, or a duration such as `500ms`, `15m` or `6h`, from 0s to 365d",
    );
    check(
        &format!("{rule}action = \"expire\"\n"),
        "keysweep.toml:5: `action` is `expire`; it takes one of `delete`, `report`",
    );
    check(
        &format!("{rule}durable = \"yes!\"\n"),
        "keysweep.toml:5: `durable` is `yes!`; it takes `true` or `false`",
    );
    check(
        &format!("{rule}action = [\"delete\", \"report\"]\n"),
        "keysweep.toml:5: `action` is `a list of 2`; it takes one of `delete`, `report`",
    );
    check(
        &format!("{rule}where_ = \"ttl = none\"\naction = \"report\"\n"),
        "keysweep.toml:5: unknown key `where_`; did you mean `where`?",
    );
    check(
        &format!("{rule}redis = \"main\"\naction = \"report\"\n"),
        "keysweep.toml:5: unknown key `redis`; it belongs under `[[job]]`",
    );
    check(
        "[job.rule]\nmatch = [\"a\"]\n",
        "keysweep.toml:3: rules are a list: write `[[job.rule]]` with two brackets",
    );
}

#[test]
fn contradictions_are_named_with_rule_and_line() {
    let rule = "[[job.rule]]\nmatch = [\"a:*\"]\n";
    check(
        &format!("{rule}action = \"delete\"\nwhere = \"ttl = none and idle > 7\"\n"),
        "keysweep.toml:6: job `j`, rule 1: `where`, column 23: `7` is not a duration: a unit is missing: write `7s` or `7m`",
    );
    check(
        &format!("{rule}action = \"delete\"\nwhere = 'key ~ \"(a{{999}}){{999}}\"'\n"),
        "keysweep.toml:6: job `j`, rule 1: `where`, column 7: this regular expression takes more than 262144 bytes of \
         memory: use fewer or smaller repetitions",
    );
    check(
        &format!("{rule}ttl = \"2h\"\nmax_ttl = \"1h\"\n"),
        "keysweep.toml:6: job `j`, rule 1: `max_ttl` is `1h`, and `ttl` is `2h`, which is longer: make `max_ttl` at least \
         as long as `ttl`",
    );
    check(
        rule,
        "keysweep.toml:3: job `j`, rule 1: it does not say what happens to its keys: add `ttl`, `max_ttl`, `durable = \
         true`, `action = \"report\"` or `action = \"delete\"`",
    );
    check(
        &format!("{rule}durable = true\n[[job.rule]]\nttl = \"1h\"\nmatch = [\"a:b:*\"]\n"),
        "keysweep.toml:8: job `j`, rule 2: it can never act, because a key belongs to the first rule that matches its name: \
         rule 1 takes all keys of `a:b:*`; move this rule up, or remove it",
    );
}

#[test]
fn a_job_has_rules_or_the_short_form() {
    let rules = "[[job.rule]]\nmatch = [\"a:*\"]\ndurable = true\n";
    let short = |key: &str| {
        format!(
            "keysweep.toml:3: a job has either rules or `{key}`, which is the short form of one: put it into a \
             `[[job.rule]]`, or remove the rules"
        )
    };
    check(&format!("patterns = [\"a\"]\n{rules}"), &short("patterns"));
    check(&format!("protect = [\"a\"]\n{rules}"), &short("protect"));
    check(&format!("action = \"report\"\n{rules}"), &short("action"));
    let text = job(rules);
    assert_eq!(
        shown("grace", &[("--pattern", "x:*")], &[], Some(&text)),
        "`--pattern` does not go with the rules of the job (keysweep.toml:3): leave it out, or name a job without rules"
    );
    assert_eq!(
        shown("grace", &[], &[("KEYSWEEP_PROTECT", "x:*")], Some(&text)),
        "`KEYSWEEP_PROTECT` does not go with the rules of the job (keysweep.toml:3): leave it out, or name a job without \
         rules"
    );
    assert_eq!(shown("dry_run", &[("--dry-run", "true")], &[], Some(&text)), "true (flag --dry-run)");
}

/// What the generated file shows as comments is right.
#[test]
fn the_example_of_the_generated_file_is_good() {
    let text = crate::job_file();
    let (before, example) = text.split_once("# [[job.rule]]").expect("the example");
    let example = format!("# [[job.rule]]{example}");
    let rules: Vec<&str> = example.lines().map(|line| line.trim_start_matches(['#', ' '])).collect();
    assert_eq!(problems(&format!("{before}\n{}\n", rules.join("\n"))), "");
}

/// The blocks of code in `page` that are marked with `language`.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_examples_of_the_page_are_good() {
    let page = include_str!("../../../../docs/policy.md");
    let (files, predicates) = (blocks(page, "toml"), blocks(page, "predicate"));
    assert!(!files.is_empty() && !predicates.is_empty());
    for file in files {
        assert_eq!(problems(file), "");
    }
    for text in predicates.iter().flat_map(|block| block.lines()) {
        assert!(text.parse::<keysweep_policy::Predicate>().is_ok(), "{text}");
    }
}
