//! What has been read of a store's file, and what is appended to it. The content of the file is untrusted: lines,
//! revisions and the size of the file have limits.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use keysweep_files::Folder;
use serde::{Deserialize, Serialize};

use crate::limits::{
    FILE_ENTRIES_MAX, FILE_LINES_SPARE, HISTORY_FILE_BYTES_MAX, HISTORY_LINE_BYTES_MAX, REVISION_MAX,
};
use crate::store::table::EntryTable;

/// The content of the file as far as it was read.
#[derive(Default)]
pub(super) struct LogFile {
    /// Bytes of the file that are in the table.
    bytes: u64,
    lines: u64,
    /// Identifies the file. If the file is shorter or has another generation, it is read from its start.
    generation: u64,
    pub(super) table: EntryTable,
}

/// A line of the file. The first line has no key; its revision is the file's generation.
#[derive(Serialize, Deserialize)]
pub(super) struct LogLine {
    pub(super) key: String,
    pub(super) revision: u64,
    pub(super) value: String,
}

impl LogFile {
    /// Reads what was added since the last call, or all of it if the file was replaced.
    pub(super) fn catch_up(&mut self, file: &mut File) -> io::Result<()> {
        let length = file.metadata()?.len();
        if length == 0 {
            *self = Self { generation: fastrand::u64(..), ..Self::default() };
            let first = LogLine { key: String::new(), revision: self.generation, value: String::new() };
            return self.append(file, &first);
        }
        if length > HISTORY_FILE_BYTES_MAX {
            let text = format!("the file is longer than {HISTORY_FILE_BYTES_MAX} bytes: move it away");
            return Err(io::Error::other(text));
        }
        if self.generation == 0 || length < self.bytes || generation(file)? != Some(self.generation) {
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.bytes))?;
        let mut rest = BufReader::new(&mut *file).take(length - self.bytes);
        let (mut line, mut left_out) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            let read = rest.by_ref().take(HISTORY_LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
            if line.last() != Some(&b'\n') {
                if read == HISTORY_LINE_BYTES_MAX {
                    let text =
                        format!("a line is longer than {HISTORY_LINE_BYTES_MAX} bytes: move the file away");
                    return Err(io::Error::other(text));
                }
                break;
            }
            self.bytes += read;
            self.lines += 1;
            left_out += u64::from(!self.take(&line));
        }
        if left_out > 0 {
            tracing::warn!(
                "{left_out} lines of the history are damaged or of another version; they are skipped"
            );
        }
        if self.bytes < length { file.set_len(self.bytes) } else { Ok(()) }
    }

    /// Applies a line. `false` if it is not valid: of another version, or with a revision that does not follow.
    fn take(&mut self, line: &[u8]) -> bool {
        let Ok(line) = serde_json::from_slice::<LogLine>(line) else { return false };
        if line.key.is_empty() {
            self.generation = line.revision;
            return true;
        }
        let follows = line.revision > self.table.latest() && line.revision <= REVISION_MAX;
        if follows {
            self.table.put(&line.key, line.value.into_bytes(), line.revision);
        }
        follows
    }

    pub(super) fn append(&mut self, file: &mut File, line: &LogLine) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let length = text.len() as u64;
        if length > HISTORY_LINE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "a line would be longer than {HISTORY_LINE_BYTES_MAX} bytes"
            )));
        }
        file.seek(SeekFrom::Start(self.bytes))?;
        file.write_all(&text)?;
        file.sync_data()?;
        self.bytes += length;
        self.lines += 1;
        Ok(())
    }

    /// Writes a new file with the latest entries only, if much of the present one is outdated or it is long. Other
    /// processes notice by the generation in the first line.
    pub(super) fn rewrite_if_long(&mut self, folder: &Folder, name: &str) -> io::Result<()> {
        let entries = self.table.len();
        let long = self.lines > 2 * entries as u64 + FILE_LINES_SPARE
            || entries > 2 * FILE_ENTRIES_MAX
            || self.bytes > HISTORY_FILE_BYTES_MAX / 2;
        if long { self.rewrite(folder, name) } else { Ok(()) }
    }

    fn rewrite(&mut self, folder: &Folder, name: &str) -> io::Result<()> {
        let mut new = Self { generation: fastrand::u64(..), ..Self::default() };
        let (mut lines, mut length) = (Vec::new(), 0);
        for entry in self.table.newest().take(FILE_ENTRIES_MAX) {
            let value = String::from_utf8_lossy(&entry.value).into_owned();
            let line = serde_json::to_vec(&LogLine { key: entry.key, revision: entry.revision, value })?;
            length += line.len() as u64 + 1;
            if length > HISTORY_FILE_BYTES_MAX / 4 {
                break;
            }
            lines.push(line);
        }
        self.table.keep_newest(lines.len());
        let first = LogLine { key: String::new(), revision: new.generation, value: String::new() };
        lines.push(serde_json::to_vec(&first)?);
        lines.reverse();
        let text: Vec<u8> = lines.iter().flat_map(|line| line.iter().chain(b"\n")).copied().collect();
        folder.put(name, &text, true)?;
        (new.bytes, new.lines) = (text.len() as u64, lines.len() as u64);
        new.table = std::mem::take(&mut self.table);
        *self = new;
        Ok(())
    }
}

/// The generation in the file's first line.
fn generation(file: &mut File) -> io::Result<Option<u64>> {
    let mut start = [0; 128];
    file.seek(SeekFrom::Start(0))?;
    let read = file.read(&mut start)?;
    let line = start[..read].split(|b| *b == b'\n').next().unwrap_or_default();
    Ok(serde_json::from_slice::<LogLine>(line).ok().map(|line| line.revision))
}
