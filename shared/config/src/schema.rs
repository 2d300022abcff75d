//! Checks the shape of a job file: its tables and keys, and that each value is a scalar or a list of scalars. Values
//! become raw texts, which are parsed later, so that they give the same messages as those of other layers.

mod rules;

use std::collections::BTreeMap;
use std::path::Path;

use keysweep_model::printable::one_line;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::{ConfigError, FilePosition};
use super::raw::{LineIndex, RawEntry, RawTable};
use super::setting_def::{Section, SettingDef};
use super::suggest::nearest;
use super::table::SETTINGS;

/// The tables of a file, in the order of their lines.
#[derive(Clone, Default)]
pub(super) struct JobFileTables {
    pub(super) redis: Vec<RawTable>,
    pub(super) jobs: Vec<RawTable>,
    pub(super) nats: Option<RawTable>,
    pub(super) serve: Option<RawTable>,
}

/// Pairs of keys of `[redis.<alias>]` that exclude each other.
const REDIS_EITHER: &[(&str, &str)] =
    &[("password", "password_file"), ("sentinel_password", "sentinel_password_file")];
/// The same for `[nats]`: two sources of one secret, or two kinds of login.
const NATS_EITHER: &[(&str, &str)] = &[
    ("password", "password_file"),
    ("token", "token_file"),
    ("creds", "nkey"),
    ("creds", "user"),
    ("creds", "token"),
    ("nkey", "user"),
    ("nkey", "token"),
    ("user", "token"),
];

/// The same for `[serve]`.
const SERVE_EITHER: &[(&str, &str)] = &[("api_token", "api_token_file"), ("view_token", "view_token_file")];

/// A key with its value, both with their positions in the text.
type Pair<'t, 'i> = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>);

/// Parses a file's text. Problems are in the order of lines. With a syntax error there are no tables, because the text
/// after it is not reliable.
pub(super) fn read(path: &Path, text: &str) -> (JobFileTables, Vec<ConfigError>) {
    let mut reader = SchemaReader { path, lines: LineIndex::new(text), problems: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let byte = error.span().map_or(text.len(), |span| span.start);
        let (place, column) = (reader.place(byte), reader.lines.column(byte));
        let message = error.message().to_owned();
        reader.problems.push((byte, ConfigError::Syntax { place, column, message }));
    }
    let tables = if reader.problems.is_empty() {
        reader.document(document.get_ref())
    } else {
        JobFileTables::default()
    };
    reader.problems.sort_by_key(|(byte, _)| *byte);
    (tables, reader.problems.into_iter().map(|(_, problem)| problem).collect())
}

struct SchemaReader<'a> {
    path: &'a Path,
    lines: LineIndex<'a>,
    /// Each with its byte position, for sorting.
    problems: Vec<(usize, ConfigError)>,
}

impl SchemaReader<'_> {
    fn document(&mut self, document: &DeTable<'_>) -> JobFileTables {
        let mut tables = JobFileTables::default();
        for pair in document.iter() {
            match pair.0.get_ref().as_ref() {
                "redis" => tables.redis = self.redis(pair),
                "job" => tables.jobs = self.jobs(pair),
                "nats" => tables.nats = self.single(pair, Section::Nats, NATS_EITHER),
                "serve" => tables.serve = self.single(pair, Section::Serve, SERVE_EITHER),
                _ => self.unknown(pair.0, &["redis", "nats", "serve", "job"], ""),
            }
        }
        tables.redis.sort_by_key(|table| table.line);
        tables
    }

    fn redis(&mut self, (key, value): Pair<'_, '_>) -> Vec<RawTable> {
        let DeValue::Table(aliases) = value.get_ref() else {
            self.shape(key, "`redis` takes tables with an alias: `[redis.main]`");
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (alias, value) in aliases.iter() {
            let DeValue::Table(content) = value.get_ref() else {
                let name = alias.get_ref();
                self.shape(alias, &format!("`redis.{name}` needs an alias: put it under `[redis.main]`"));
                continue;
            };
            tables.push(self.table(alias, content, Section::Redis, REDIS_EITHER));
        }
        tables
    }

    fn jobs(&mut self, (key, value): Pair<'_, '_>) -> Vec<RawTable> {
        let DeValue::Array(jobs) = value.get_ref() else {
            self.shape(key, "jobs are a list: write `[[job]]` with two brackets");
            return Vec::new();
        };
        let mut tables: Vec<RawTable> = Vec::new();
        for job in jobs.iter() {
            let DeValue::Table(content) = job.get_ref() else {
                self.shape(job, "jobs are tables: write `[[job]]`");
                continue;
            };
            let entries = self.entries(content, Section::Job);
            let Some((name, line)) = entries.get("name").and_then(|name| name.texts.first()).cloned() else {
                self.shape(job, "a job needs a `name`");
                continue;
            };
            if let Some(other) = tables.iter().find(|other| other.name == name) {
                let message = format!("the job `{name}` already stands in line {}", other.line);
                self.shape(job, &message);
            }
            let (path, rules) = (self.path.to_owned(), self.rules(content));
            tables.push(RawTable { section: Section::Job, name, path, line, entries, rules });
        }
        tables
    }

    /// A table that may appear once.
    fn single(
        &mut self,
        (key, value): Pair<'_, '_>,
        section: Section,
        either: &[(&str, &str)],
    ) -> Option<RawTable> {
        let DeValue::Table(content) = value.get_ref() else {
            let name = key.get_ref();
            self.shape(key, &format!("`{name}` takes a table: `[{name}]`"));
            return None;
        };
        Some(self.table(key, content, section, either))
    }

    /// A table that is called like its key, in which only one of each pair in `either` may be given.
    fn table(
        &mut self,
        key: &Spanned<DeString<'_>>,
        content: &DeTable<'_>,
        section: Section,
        either: &[(&str, &str)],
    ) -> RawTable {
        for (one, other) in either {
            if content.contains_key(*one) && content.contains_key(*other) {
                self.shape(key, &format!("give either `{one}` or `{other}`, not both"));
            }
        }
        RawTable {
            section,
            name: key.get_ref().to_string(),
            path: self.path.to_owned(),
            line: self.lines.line(key.span().start),
            entries: self.entries(content, section),
            rules: Vec::new(),
        }
    }

    /// The known keys of one kind of table.
    fn entries(&mut self, content: &DeTable<'_>, section: Section) -> BTreeMap<String, RawEntry> {
        let settings: Vec<&SettingDef> = SETTINGS.iter().filter(|spec| spec.section == section).collect();
        let mut entries = BTreeMap::new();
        for (key, value) in content.iter() {
            let name = key.get_ref().as_ref();
            if section == Section::Job && name == rules::RULES_KEY {
                continue;
            }
            let Some(setting) = settings.iter().find(|setting| setting.is_called(name)) else {
                let known: Vec<&str> = settings.iter().map(|setting| setting.key()).collect();
                self.unknown(key, &known, belongs_elsewhere(name, section));
                continue;
            };
            if let Some(entry) = self.entry(key, value)
                && entries.insert(setting.key().to_owned(), entry).is_some()
            {
                let message = format!("`{}` is given twice, in two spellings", setting.key());
                self.shape(key, &message);
            }
        }
        entries
    }

    fn entry(&mut self, key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Option<RawEntry> {
        let line = self.lines.line(key.span().start);
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = scalar(item.get_ref()) else {
                self.shape(item, &format!("`{}` takes a value or a list of values", key.get_ref()));
                return None;
            };
            texts.push((text, self.lines.line(item.span().start)));
        }
        Some(RawEntry { texts, line })
    }

    fn unknown(&mut self, key: &Spanned<DeString<'_>>, known: &[&str], belongs: &str) {
        let name = key.get_ref().as_ref();
        let hint = match nearest(name, known.iter().copied()) {
            _ if !belongs.is_empty() => format!("; it belongs under {belongs}"),
            Some(known) => format!("; did you mean `{known}`?"),
            None => String::new(),
        };
        let byte = key.span().start;
        let key = one_line(name);
        let problem = ConfigError::UnknownKey { place: self.place(byte), key, hint };
        self.problems.push((byte, problem));
    }

    fn shape<T>(&mut self, at: &Spanned<T>, message: &str) {
        let byte = at.span().start;
        let problem = ConfigError::Shape { place: self.place(byte), message: message.to_owned() };
        self.problems.push((byte, problem));
    }

    fn place(&self, byte: usize) -> FilePosition {
        FilePosition { path: self.path.to_owned(), line: self.lines.line(byte) }
    }
}

/// The raw text of a value that is not a list. A table with one pair is a source: `{ zset = "key" }` is `zset:key`.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Table(pairs) if pairs.len() == 1 => {
            let (word, value) = pairs.iter().next()?;
            match value.get_ref() {
                DeValue::String(text) => Some(format!("{}:{text}", word.get_ref())),
                _ => None,
            }
        }
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The table of a key that is unknown in `section`. The two connections have similar keys, so one is never suggested
/// for the other.
fn belongs_elsewhere(key: &str, section: Section) -> &'static str {
    let is_elsewhere = |other: Section| (other == Section::Job) != (section == Section::Job);
    let other = SETTINGS.iter().find(|spec| spec.key() == key && is_elsewhere(spec.section));
    match other.map(|spec| spec.section) {
        Some(Section::Job) => "`[[job]]`",
        Some(Section::Redis) => "`[redis.<alias>]`",
        Some(Section::Nats) => "`[nats]`",
        Some(Section::Serve) => "`[serve]`",
        None => "",
    }
}
