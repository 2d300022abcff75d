//! Reads files of limited size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads a text file of at most `bytes_max` bytes.
///
/// # Errors
/// If it cannot be read, is not text, or is longer.
pub fn read_text(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= bytes_max) {
        return Ok(text);
    }
    Err(std::io::Error::other(format!("the file is longer than {bytes_max} bytes")))
}
