//! The job file that `keysweep config init` writes: every setting, commented out.

use std::fmt::Write;

use strum::VariantArray;

use super::group::Group;
use super::rules;
use super::setting_def::{DefaultValue, Section, SettingDef};
use super::setting_kind::SettingKind;
use super::table::SETTINGS;

const HEAD: &str = "\
# A job file of keysweep. Every setting is commented out and has its default, or an example if there is no default.
# Remove the `#` before a setting to change it. `keysweep config check FILE` reports mistakes.
";

/// A job file in TOML with every setting commented out but the job's name: it has the same meaning as no file.
#[must_use]
pub fn job_file() -> String {
    let mut text = HEAD.to_owned();
    for section in [Section::Redis, Section::Nats, Section::Serve, Section::Job] {
        // Writing into a `String` cannot fail.
        let _ = write!(text, "\n{}\n", section.header().replace("<alias>", "main"));
        for &group in Group::VARIANTS {
            let mut rows =
                SETTINGS.iter().filter(|row| row.section == section && row.group == group).peekable();
            if rows.peek().is_some() && !group.subject().is_empty() {
                let _ = write!(text, "\n# ---- {} ----\n", group.subject());
            }
            text.extend(rows.map(entry));
        }
    }
    text + rules::EXAMPLE
}

/// A setting with its comment. A job must have a name, so that one is not commented out.
fn entry(row: &SettingDef) -> String {
    let default = match row.default {
        DefaultValue::Derived(text) => format!(" Default: {text}."),
        DefaultValue::Text(_) => String::new(),
        DefaultValue::Absent => " Not set by default.".to_owned(),
    };
    let mark = if row.name == "name" { "" } else { "#" };
    format!(
        "\n# {}.\n# Takes {}.{default}\n{mark}{} = {}\n",
        row.help,
        row.kind.summary(),
        row.key(),
        value(row)
    )
}

/// The default, or an example, in TOML.
fn value(row: &SettingDef) -> String {
    let text = row.default_value().or(row.example.map(str::to_owned)).unwrap_or_else(|| example(row.kind));
    match row.kind {
        SettingKind::Switch | SettingKind::Whole { .. } => text,
        kind if kind.is_list() => format!("[{}]", quoted(&text)),
        _ => quoted(&text),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value that the kind takes.
fn example(kind: SettingKind) -> String {
    match kind {
        SettingKind::Switch => "true".to_owned(),
        SettingKind::Whole { min, max } => 10_000.clamp(min, max).to_string(),
        SettingKind::Bytes { .. } => "1MiB".to_owned(),
        SettingKind::Duration { .. } => "15m".to_owned(),
        SettingKind::Choice(words) => words.first().copied().unwrap_or_default().to_owned(),
        SettingKind::Source(words) => match words.first().copied().unwrap_or_default() {
            word if word.ends_with(':') => format!("{word}KEY"),
            word => word.to_owned(),
        },
        SettingKind::Overrides => "dryRun".to_owned(),
        SettingKind::Name | SettingKind::Context => "name".to_owned(),
        SettingKind::Text => "text".to_owned(),
        SettingKind::Secret => "secret".to_owned(),
        SettingKind::Path => "/path".to_owned(),
        SettingKind::Place => "/path/of/directory".to_owned(),
        SettingKind::SecretUrls => "https://hooks.example/path".to_owned(),
        SettingKind::Urls => "redis://cache:6379".to_owned(),
        SettingKind::NatsUrls => "nats://nats:4222".to_owned(),
        SettingKind::Addresses => "10.0.0.1:6379=cache.example:7001".to_owned(),
        SettingKind::ListenAddress => "127.0.0.1:9464".to_owned(),
        SettingKind::Hosts => "keysweep.example".to_owned(),
        SettingKind::Patterns => "permissions:system:*".to_owned(),
        SettingKind::PublicKeys => "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{ConfigError, Environment, FlagLayer, JobFile, Settings, check_file, check_jobs, resolve};

    /// The file's settings of its only job, each with its value.
    fn resolved(text: Option<&str>) -> Vec<(&'static str, String)> {
        let file = text.map(|text| JobFile::parse(Path::new("k.toml"), text).expect("a good shape"));
        let environment = Environment::from_pairs([("HOME", "/home/me")]);
        let settings: Settings =
            resolve(&FlagLayer::default(), &environment, file.as_ref()).expect("good settings");
        settings.rows().into_iter().map(|row| (row.name, row.value)).collect()
    }

    /// The line with `#` before the key, if it is a setting that is commented out.
    fn commented_out(line: &str) -> Option<&str> {
        line.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic))
    }

    #[test]
    fn the_job_file_has_every_setting_and_means_the_defaults() {
        let text = job_file();
        assert_eq!(resolved(Some(&text)), resolved(None));
        let jobs = check_file(Path::new("k.toml"), &text).expect("good values");
        assert_eq!(jobs, ["permission-cache-cleanup"]);
        assert_eq!(text.lines().filter_map(commented_out).count(), SETTINGS.len() - 1);
    }

    /// Some settings exclude each other, need others, or name files, so only what a line says alone can be wrong.
    #[test]
    fn every_line_is_a_good_setting_without_its_comment_sign() {
        let text = job_file();
        for line in text.lines() {
            let Some(setting) = commented_out(line) else { continue };
            let changed = text.replacen(&format!("\n{line}\n"), &format!("\n{setting}\n"), 1);
            let path = Path::new("k.toml");
            assert!(check_file(path, &changed).is_ok(), "{setting}: {:?}", check_file(path, &changed));
            let problems = check_jobs(path, &changed).problems;
            let depends = |problem: &ConfigError| matches!(problem, ConfigError::Contradiction(_));
            assert!(problems.iter().all(depends), "{setting}: {problems:?}");
        }
    }

    #[test]
    fn defaults_stay_what_they_are_when_they_are_written_out() {
        let default = |line: &str| {
            let key = commented_out(line)?.split(' ').next()?;
            let row = SETTINGS.iter().find(|row| row.section == Section::Job && row.key() == key)?;
            matches!(row.default, DefaultValue::Text(_)).then_some(())
        };
        let lines: Vec<String> = job_file()
            .lines()
            .map(|line| if default(line).is_some() { line[1..].to_owned() } else { line.to_owned() })
            .collect();
        assert_eq!(resolved(Some(&lines.join("\n"))), resolved(None));
    }
}
