//! The job file: how it is found, read and checked, and how a job is selected.

use std::fmt;
use std::iter::repeat;
use std::path::{Path, PathBuf};

use keysweep_files::read_text;
use keysweep_model::words::quoted;

use super::environment::{CONFIG_FILE_VARIABLE, Environment};
use super::error::{ConfigError, FilePosition};
use super::layers::{bad, bad_count, split};
use super::origin::Origin;
use super::parse;
use super::raw::RawTable;
use super::schema::{self, JobFileTables};
use super::setting_def::SettingDef;
use super::{rules, table};
use crate::limits::JOB_FILE_BYTES_MAX;

/// The job file in the working directory, used if no other is configured.
pub const DEFAULT_FILE: &str = "keysweep.toml";

/// A job file with a valid shape. Its values are checked when they are resolved.
#[derive(Clone)]
pub struct JobFile {
    path: PathBuf,
    pub(super) tables: JobFileTables,
}

impl JobFile {
    /// The job file to use: `flag` (`--config`), else `KEYSWEEP_CONFIG`, else `keysweep.toml` in the working directory
    /// if it exists, else none.
    ///
    /// # Errors
    /// A configured file that cannot be read, or a file with an invalid shape.
    pub fn find(flag: Option<&str>, env: &Environment) -> Result<Option<Self>, ConfigError> {
        let variable = env.get(CONFIG_FILE_VARIABLE);
        let (path, named_by) = match (flag, variable) {
            (Some(path), _) => (path, "`--config`: ".to_owned()),
            (None, Some(path)) => (path, format!("`{CONFIG_FILE_VARIABLE}`: ")),
            (None, None) if !Path::new(DEFAULT_FILE).exists() => return Ok(None),
            (None, None) => (DEFAULT_FILE, String::new()),
        };
        Self::load_named(Path::new(path), named_by).map(Some)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or the first problem of its shape.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_named(path, String::new())
    }

    fn load_named(path: &Path, named_by: String) -> Result<Self, ConfigError> {
        let text = read_text(path, JOB_FILE_BYTES_MAX).map_err(|source| ConfigError::Unreadable {
            named_by,
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses a file's text. `path` appears in messages, and relative paths start in its directory.
    ///
    /// # Errors
    /// The first problem of syntax or shape.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let (tables, problems) = schema::read(path, text);
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self { path: path.to_owned(), tables }),
        }
    }

    /// The parts of a text with a valid shape.
    pub(super) fn as_far_as_read(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), tables: schema::read(path, text).0 }
    }

    /// The file as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The jobs' names in the order of the file.
    #[must_use]
    pub fn job_names(&self) -> Vec<String> {
        self.tables.jobs.iter().map(|job| job.name.clone()).collect()
    }

    pub(super) fn job(&self, name: &str) -> Option<&RawTable> {
        self.tables.jobs.iter().find(|job| job.name == name)
    }

    pub(super) fn redis(&self, alias: &str) -> Option<&RawTable> {
        self.tables.redis.iter().find(|table| table.name == alias)
    }
}

/// Names only: the file may hold passwords.
impl fmt::Debug for JobFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = self.job_names();
        f.debug_struct("JobFile").field("path", &self.path).field("jobs", &jobs).finish()
    }
}

/// Checks a file with all its values, and returns the names of its jobs.
///
/// # Errors
/// Every problem in the order of lines; with syntax errors, only those.
pub fn check_file(path: &Path, text: &str) -> Result<Vec<String>, Vec<ConfigError>> {
    let (tables, mut problems) = schema::read(path, text);
    for table in tables.redis.iter().chain(&tables.jobs).chain(&tables.nats).chain(&tables.serve) {
        check_values(table, &mut problems);
    }
    for table in &tables.redis {
        check_alias(table, &mut problems);
    }
    for job in &tables.jobs {
        check_reference(job, &tables, &mut problems);
        problems.extend(rules::read(job).err().into_iter().flatten());
    }
    problems.sort_by_key(line_of);
    let names = tables.jobs.into_iter().map(|job| job.name).collect();
    if problems.is_empty() { Ok(names) } else { Err(problems) }
}

fn check_values(table: &RawTable, problems: &mut Vec<ConfigError>) {
    for (key, entry) in &table.entries {
        let Some(spec) = table::by_key(table.section, key) else { continue };
        let parts = |(text, line): &(String, usize)| split(spec.kind, text).into_iter().zip(repeat(*line));
        let texts: Vec<(String, usize)> = entry.texts.iter().flat_map(parts).collect();
        if !spec.takes(texts.len()) {
            problems.push(bad_count(spec, &table.origin(entry.line), texts.len()));
            continue;
        }
        for (text, line) in &texts {
            let wrong = parse::check(spec.kind, text).err();
            problems.extend(wrong.map(|right| bad(spec, &table.origin(*line), text, right)));
        }
    }
}

fn check_alias(table: &RawTable, problems: &mut Vec<ConfigError>) {
    let Some(spec) = table::by_name("redis") else { return };
    let wrong = parse::check(spec.kind, &table.name).err();
    problems.extend(wrong.map(|right| bad(spec, &table.origin(table.line), &table.name, right)));
}

fn check_reference(job: &RawTable, tables: &JobFileTables, problems: &mut Vec<ConfigError>) {
    let Some(spec) = table::by_name("redis") else { return };
    let Some((alias, line)) = job.entries.get(spec.name).and_then(|entry| entry.texts.first()) else {
        return;
    };
    if !tables.redis.iter().any(|table| table.name == *alias) {
        problems.push(no_such_alias(spec, &job.origin(*line), alias, &tables.redis));
    }
}

/// The error for an alias without a table.
pub(super) fn no_such_alias(
    spec: &'static SettingDef,
    origin: &Origin,
    alias: &str,
    known: &[RawTable],
) -> ConfigError {
    let names: Vec<String> = known.iter().map(|table| format!("[redis.{}]", table.name)).collect();
    let expected = match names.as_slice() {
        [] => format!("the alias of a table, and the file has no `[redis.{alias}]`"),
        _ => format!("the alias of one of {}", quoted(&names)),
    };
    bad(spec, origin, alias, expected)
}

/// The line of a problem in the file, to sort by.
fn line_of(problem: &ConfigError) -> usize {
    match problem {
        ConfigError::BadValue { origin: Origin::File { line, .. }, .. } => *line,
        ConfigError::UnknownKey { place: FilePosition { line, .. }, .. }
        | ConfigError::Syntax { place: FilePosition { line, .. }, .. }
        | ConfigError::Shape { place: FilePosition { line, .. }, .. } => *line,
        _ => 0,
    }
}
