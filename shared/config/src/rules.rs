//! The rules of a job, `[[job.rule]]`: their fields, and how they are read. Only the job file has them; what is stated is
//! checked as a whole in `shared/policy`.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::duration;
use keysweep_model::glob::Pattern;
use keysweep_model::messages::{Jitter, RuleAction, StatedRule};
use keysweep_model::printable::one_line;
use keysweep_policy::{RuleError, RuleSet};

use super::display::DisplayRow;
use super::error::{ConfigError, FilePosition, subject};
use super::layers::Layers;
use super::origin::Setting;
use super::parse::{self, Parsed};
use super::raw::{RawEntry, RawTable};
use super::setting_kind::{LIST_ITEMS_MAX, SettingKind};
use super::table;

/// A field of a rule.
pub(super) struct RuleKey {
    /// Its name in the job file.
    pub(super) key: &'static str,
    /// The values that it takes. A list for patterns.
    pub(super) kind: SettingKind,
    /// The values in few words, if the kind does not say it.
    takes: Option<&'static str>,
    /// One line of help in Markdown, without a full stop.
    pub(super) help: &'static str,
    /// Adds a text to what the rule states.
    set: fn(&mut StatedRule, SettingKind, &str) -> Parsed<()>,
}

/// As long as those of the short form.
const TTLS: SettingKind = SettingKind::seconds(1, 3_650 * 86_400);

/// The fields, in the order in which they are read by people.
pub(super) const RULE_KEYS: [RuleKey; 10] = [
    RuleKey {
        key: "match",
        kind: SettingKind::Patterns,
        takes: None,
        help: "The keys of the rule; a key belongs to the first rule that matches its name",
        set: |rule, kind, text| {
            rule.matching.push(pattern(kind, text)?);
            Ok(())
        },
    },
    RuleKey {
        key: "except",
        kind: SettingKind::Patterns,
        takes: None,
        help: "Keys that are left to later rules",
        set: |rule, kind, text| {
            rule.except.push(pattern(kind, text)?);
            Ok(())
        },
    },
    RuleKey {
        key: "where",
        kind: SettingKind::Text,
        takes: Some("a condition"),
        help: "The condition under which something is done with a key of the rule",
        set: |rule, _, text| {
            rule.condition = Some(text.to_owned());
            Ok(())
        },
    },
    RuleKey {
        key: "ttl",
        kind: TTLS,
        takes: None,
        help: "The TTL that keys without one are given",
        set: |rule, kind, text| {
            rule.ttl_ms = Some(duration::millis(parse::time(kind, text)?));
            Ok(())
        },
    },
    RuleKey {
        key: "jitter",
        kind: SettingKind::seconds(0, 365 * 86_400),
        takes: Some("`0%` to `100%`, or a duration"),
        help: "Random time up to this, added to each such TTL; a tenth of it by default",
        set: |rule, kind, text| {
            rule.jitter = Some(jitter(kind, text)?);
            Ok(())
        },
    },
    RuleKey {
        key: "max_ttl",
        kind: TTLS,
        takes: None,
        help: "The longest TTL; longer ones are shortened to it",
        set: |rule, kind, text| {
            rule.max_ttl_ms = Some(duration::millis(parse::time(kind, text)?));
            Ok(())
        },
    },
    RuleKey {
        key: "durable",
        kind: SettingKind::Switch,
        takes: None,
        help: "Keys without TTL are right here: nothing is ever done with them",
        set: |rule, kind, text| {
            rule.durable = parse::switch(kind, text)?;
            Ok(())
        },
    },
    RuleKey {
        key: "action",
        kind: SettingKind::Choice(&RuleAction::NAMES),
        takes: None,
        help: "Delete or report keys of the rule: those without TTL, unless `where` is about `ttl`",
        set: |rule, kind, text| {
            rule.action = Some(parse::variant(kind, text)?);
            Ok(())
        },
    },
    RuleKey {
        key: "max_delete_percent",
        kind: SettingKind::Whole { min: 0, max: 100 },
        takes: None,
        help: "Refuse to delete more than this share of the keys of the rule; that of the job by default",
        set: |rule, kind, text| {
            rule.max_delete_percent = Some(parse::whole(kind, text)?);
            Ok(())
        },
    },
    RuleKey {
        key: "owner",
        kind: SettingKind::Text,
        takes: None,
        help: "Who answers for these keys",
        set: |rule, kind, text| {
            rule.owner = Some(parse::line(kind, text)?);
            Ok(())
        },
    },
];

impl RuleKey {
    /// The values that it takes in few words, for a table of the documentation.
    pub(super) fn summary(&self) -> String {
        self.takes.map_or_else(|| self.kind.summary(), str::to_owned)
    }
}

/// Settings of a job that are the short form of one rule. A job has either these or rules.
pub(super) const SHORT_FORM: [&str; 6] =
    ["patterns", "protect", "action", "expire_ttl", "jitter", "aggressive_cleanup"];

/// A rule of the job file after the check of its shape.
#[derive(Clone)]
pub(super) struct RawRule {
    /// The line of its table.
    pub(super) line: usize,
    /// The known fields.
    pub(super) entries: BTreeMap<&'static str, RawEntry>,
}

/// The rules of a job, each with the line of its table; empty for the short form.
///
/// # Errors
/// Every bad value; if there is none, what is wrong with the rules as a whole.
pub(super) fn read(job: &RawTable) -> Result<Vec<Setting<StatedRule>>, Vec<ConfigError>> {
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for raw in &job.rules {
        let (rule, wrong) = stated(job, raw);
        problems.extend(wrong);
        rules.push(rule);
    }
    if problems.is_empty()
        && let Err(errors) = RuleSet::new(&rules)
    {
        problems.extend(errors.iter().map(|error| misstated(job, error)));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let lines = job.rules.iter().map(|raw| job.origin(raw.line));
    Ok(rules.into_iter().zip(lines).map(|(value, origin)| Setting { value, origin }).collect())
}

/// The rules of the job in `layers`, if no flag or variable contradicts them.
///
/// # Errors
/// The first problem, unless problems are collected.
pub(super) fn of_job(layers: &Layers<'_>) -> Result<Vec<Setting<StatedRule>>, ConfigError> {
    let rules = layers.job.map_or(Ok(Vec::new()), read);
    let rules = match (rules, layers.problems) {
        (Ok(rules), _) => rules,
        (Err(wrong), Some(problems)) => {
            problems.borrow_mut().extend(wrong);
            Vec::new()
        }
        (Err(wrong), None) => {
            return Err(wrong.into_iter().next().unwrap_or(ConfigError::Undefined("rule")));
        }
    };
    check_form(layers, &rules).map(|()| rules)
}

/// What a rule states, and its bad values.
fn stated(job: &RawTable, raw: &RawRule) -> (StatedRule, Vec<ConfigError>) {
    let (mut rule, mut problems) = (StatedRule::default(), Vec::new());
    for field in &RULE_KEYS {
        let Some(entry) = raw.entries.get(field.key) else { continue };
        let bad = |line: usize, shown: String, expected: String| ConfigError::BadValue {
            origin: job.origin(line),
            name: field.key,
            shown,
            expected,
        };
        let count = entry.texts.len();
        let fits = if field.kind.is_list() { count <= LIST_ITEMS_MAX } else { count == 1 };
        if !fits {
            problems.push(bad(entry.line, format!("a list of {count}"), field.kind.expected()));
            continue;
        }
        for (text, line) in &entry.texts {
            if let Err(right) = (field.set)(&mut rule, field.kind, text) {
                problems.push(bad(*line, parse::shown(field.kind, text), right));
            }
        }
    }
    (rule, problems)
}

/// The error of rules that are no rules, with the line of the field that it is about.
fn misstated(job: &RawTable, error: &RuleError) -> ConfigError {
    let raw = job.rules.get(error.rule.saturating_sub(1));
    let field = error.problem.field().and_then(|field| raw?.entries.get(field.key()));
    let line = field.map(|entry| entry.line).or(raw.map(|raw| raw.line)).unwrap_or(job.line);
    let message = format!("job `{}`, {error}", job.name);
    ConfigError::Shape { place: FilePosition { path: job.path.clone(), line }, message }
}

/// The error of a flag or variable that gives a part of the short form to a job with rules.
fn check_form(layers: &Layers<'_>, rules: &[Setting<StatedRule>]) -> Result<(), ConfigError> {
    let Some(rule) = rules.first() else { return Ok(()) };
    for row in SHORT_FORM.into_iter().filter_map(table::by_name) {
        if let Some(origin) = layers.origin_above_file(row) {
            return Err(ConfigError::Contradiction(format!(
                "{} does not go with the rules of the job ({}): leave it out, or name a job without rules",
                subject(&origin, row.name),
                rule.origin
            )));
        }
    }
    Ok(())
}

/// One line of `config show` for each rule.
pub(super) fn rows(rules: &[Setting<StatedRule>]) -> impl Iterator<Item = DisplayRow> {
    rules.iter().map(|Setting { value, origin }| DisplayRow {
        name: "rule",
        value: shown(value),
        origin: origin.to_string(),
    })
}

/// A rule in one line.
fn shown(rule: &StatedRule) -> String {
    let time = |ms: u64| duration::show(Duration::from_millis(ms));
    let patterns = |list: &[Pattern]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let some = |key: &str, value: Option<String>| value.map(|value| format!("{key} = {value}"));
    let parts = [
        Some(format!("match = {}", patterns(&rule.matching))),
        some("except", (!rule.except.is_empty()).then(|| patterns(&rule.except))),
        some("where", rule.condition.as_deref().map(one_line)),
        some("ttl", rule.ttl_ms.map(time)),
        some(
            "jitter",
            rule.jitter.map(|jitter| match jitter {
                Jitter::Percent(percent) => format!("{percent}%"),
                Jitter::Ms(ms) => time(ms),
            }),
        ),
        some("max_ttl", rule.max_ttl_ms.map(time)),
        some("durable", rule.durable.then(|| "true".to_owned())),
        some("action", rule.action.map(|action| action.to_string())),
        some("max_delete_percent", rule.max_delete_percent.map(|percent| percent.to_string())),
        some("owner", rule.owner.clone()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn pattern(kind: SettingKind, text: &str) -> Parsed<Pattern> {
    Pattern::new(parse::pattern(kind, text)?).map_err(|_| kind.expected())
}

/// A percentage, or a duration.
fn jitter(kind: SettingKind, text: &str) -> Parsed<Jitter> {
    let percent = text.strip_suffix('%').and_then(|digits| digits.parse().ok());
    match percent {
        Some(percent) if percent <= 100 => Ok(Jitter::Percent(percent)),
        _ => match parse::time(kind, text) {
            Ok(time) => Ok(Jitter::Ms(duration::millis(time))),
            Err(right) => Err(format!("`0%` to `100%`, or {right}")),
        },
    }
}

/// The end of a generated job file: rules as an example, as comments.
pub(super) const EXAMPLE: &str = r##"
# ---- Rules, instead of `patterns`, `protect` and `action`: see docs/policy.md ----

# [[job.rule]]
# match = ["user:*:profile"]
# durable = true
# owner = "accounts"
#
# [[job.rule]]
# match = ["cache:page:*"]
# except = ["cache:page:home"]
# ttl = "1h"
# jitter = "10%"
# max_ttl = "7d"
#
# [[job.rule]]
# match = ["tmp:*"]
# where = "idle > 7d and type in (string, hash)"
# action = "delete"
"##;

/// The section of the documentation about the fields of a rule.
pub(super) fn reference() -> String {
    let head = "\n## `[[job.rule]]`: rules\n\nSee [Policies](policy.md).\n\n| key | takes | meaning |\n|---|---|---|\n";
    let line = |field: &RuleKey| format!("| `{}` | {} | {} |\n", field.key, field.summary(), field.help);
    RULE_KEYS.iter().fold(head.to_owned(), |text, field| text + &line(field))
}
