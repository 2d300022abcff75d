//! RDB files as the source of keys: opens them, reads them one after the other, and counts their keys. The format is in the
//! crate `keysweep-rdb`, and how keys are counted in `scanner`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use keysweep_model::printable::one_line;
use keysweep_rdb::{Entry, Fault, Parser, Summary};
use scanner::{Classifier, FileCounts, FileTally};

use super::error::CommandError;
use super::rdb_overlap::Overlap;
use super::rdb_page::RdbFile;
use crate::limits::{RDB_DATABASES_MAX, RDB_PIECE_BYTES};

/// The path that stands for standard input.
const STDIN: &str = "-";

/// What was read of files.
pub(super) struct RdbReading {
    /// The files, in order.
    pub(super) files: Vec<RdbFile>,
    /// What was counted in each database that has keys.
    pub(super) databases: BTreeMap<u32, FileCounts>,
    /// Keys that may be counted twice, because several files have keys of their hash slots.
    pub(super) repeated_max: u64,
}

/// Reads the files at `paths`, of directories those called `*.rdb`, and counts the keys that `selector` wants; if
/// `database` is given, only those of that one. A file that does not say when it was written is taken to be of `now_ms`.
///
/// # Errors
/// When a path cannot be opened or is no RDB file that can be read, or when files have the same keys. It is no error that a
/// file is damaged or cut off: what was read of it counts, and [`RdbFile::problems`] says so.
pub(super) fn read(
    paths: &[PathBuf],
    database: Option<u32>,
    selector: &Classifier<'_>,
    now_ms: u64,
) -> Result<RdbReading, CommandError> {
    let paths = files_at(paths)?;
    let mut keys = KeyCounts { database, selector, now_ms, tallies: BTreeMap::new() };
    let (mut files, mut overlap) = (Vec::new(), Overlap::of(paths.len()));
    for path in &paths {
        let file = read_file(path, &mut keys, &mut overlap)?;
        overlap.end(&file).map_err(CommandError::Usage)?;
        files.push(file);
    }
    let databases = keys.tallies.into_iter().map(|(number, tally)| (number, tally.finish())).collect();
    Ok(RdbReading { files, databases, repeated_max: overlap.repeated_max() })
}

/// Counts the keys of files by database.
struct KeyCounts<'a> {
    database: Option<u32>,
    selector: &'a Classifier<'a>,
    now_ms: u64,
    tallies: BTreeMap<u32, FileTally<'a>>,
}

impl KeyCounts<'_> {
    /// Counts a key; returns `false` if it is of one database too many.
    fn add(&mut self, entry: &Entry<'_>) -> bool {
        if self.database.is_some_and(|only| only != entry.database) {
            return true;
        }
        if self.tallies.len() >= RDB_DATABASES_MAX && !self.tallies.contains_key(&entry.database) {
            return false;
        }
        // TTLs are those of the moment that the file shows.
        let at_ms = entry.saved_s.map_or(self.now_ms, |seconds| seconds.saturating_mul(1_000));
        let tally = self.tallies.entry(entry.database).or_insert_with(|| FileTally::new(self.selector));
        tally.add(entry, at_ms);
        true
    }
}

/// The files at `paths`, each once.
fn files_at(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == STDIN || !path.is_dir() {
            files.push(path.clone());
        } else {
            files.extend(files_in(path)?);
        }
    }
    let mut seen = BTreeSet::new();
    match files.iter().find(|path| !seen.insert(path.as_path())) {
        Some(twice) => Err(usage(format!("`{}` is named twice", shown(twice)))),
        None => Ok(files),
    }
}

/// The files in a directory that are called `*.rdb`, by name.
fn files_in(directory: &Path) -> Result<BTreeSet<PathBuf>, CommandError> {
    let entries = fs::read_dir(directory).map_err(|e| unopened(directory, &e))?;
    let mut files = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(|e| unopened(directory, &e))?.path();
        if path.extension().is_some_and(|extension| extension == "rdb") && path.is_file() {
            files.insert(path);
        }
    }
    if files.is_empty() {
        return Err(usage(format!("`{}` has no file called `*.rdb`", shown(directory))));
    }
    Ok(files)
}

/// Why a file was not read to its end.
enum Unread {
    /// It is no RDB file that can be read; the text has the way out.
    Foreign(String),
    /// At some place there is something wrong with it.
    Fault(String),
}

fn read_file(path: &Path, keys: &mut KeyCounts<'_>, overlap: &mut Overlap) -> Result<RdbFile, CommandError> {
    let name = shown(path);
    let mut parser = Parser::new();
    let end = match path.as_os_str() == STDIN {
        true => read_all(&mut io::stdin().lock(), &mut parser, keys, overlap),
        false => {
            let mut file = File::open(path).map_err(|e| unopened(path, &e))?;
            read_all(&mut file, &mut parser, keys, overlap)
        }
    };
    let problems = match end {
        Ok(summary) => problems(&summary),
        Err(Unread::Fault(fault)) => vec![fault],
        Err(Unread::Foreign(why)) => return Err(usage(format!("failed to read `{name}`: {why}"))),
    };
    Ok(RdbFile { name, origin: parser.origin().clone(), keys: parser.entries(), problems })
}

fn read_all(
    source: &mut dyn Read,
    parser: &mut Parser,
    keys: &mut KeyCounts<'_>,
    overlap: &mut Overlap,
) -> Result<Summary, Unread> {
    let (mut piece, mut offset, mut has_room) = (vec![0; RDB_PIECE_BYTES], 0_u64, true);
    loop {
        let length = match source.read(&mut piece) {
            Ok(0) => return parser.finish().map_err(|e| Unread::Fault(e.to_string())),
            Ok(length) => length,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(Unread::Fault(format!("at byte {offset}: {e}"))),
        };
        let bytes = &piece[..length];
        let fed = parser.feed(bytes, |entry| {
            has_room &= keys.add(&entry);
            overlap.add(entry.key);
        });
        match fed {
            Err(e) if matches!(e.fault, Fault::NotRdb | Fault::Version { .. }) => {
                return Err(Unread::Foreign(format!("{}{}", e.fault, way_out(bytes))));
            }
            Err(e) => return Err(Unread::Fault(e.to_string())),
            Ok(()) if !has_room => {
                let fault =
                    format!("at byte {offset}: it has keys in more than {RDB_DATABASES_MAX} databases");
                return Err(Unread::Fault(fault));
            }
            Ok(()) => offset += length as u64,
        }
    }
}

/// What to do about a file that begins with these bytes.
fn way_out(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x1f, 0x8b, ..] => "; it is compressed: `gunzip -c FILE | keysweep … --rdb -`",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "; it is compressed: `zstd -dc FILE | keysweep … --rdb -`",
        [b'*', ..] => "; it may be an append-only file: name its `*.base.rdb` or a snapshot",
        _ => "",
    }
}

/// What is wrong with a file that was read to its end.
fn problems(of: &Summary) -> Vec<String> {
    let mut problems: Vec<String> = of.differences.iter().map(ToString::to_string).collect();
    if of.further_differences > 0 {
        problems.push(format!("{} more such differences", of.further_differences));
    }
    problems
}

/// A path to show.
fn shown(path: &Path) -> String {
    match path.as_os_str() == STDIN {
        true => "standard input".to_owned(),
        false => one_line(&path.to_string_lossy()),
    }
}

fn unopened(path: &Path, error: &io::Error) -> CommandError {
    usage(format!("failed to read `{}`: {error}", shown(path)))
}

fn usage(message: String) -> CommandError {
    CommandError::Usage(message)
}
