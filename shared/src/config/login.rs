//! User name, password and database, which may come from settings of their own or from inside a
//! URL. The higher layer wins; within one layer a setting of its own wins over the URL.
//!
//! User name and password of a URL go together: a URL with a login in it overrules both of them
//! from lower layers, so a password is never sent with the name of another account.

use std::path::PathBuf;

use super::error::ConfigError;
use super::file::read_text;
use super::layers::Layers;
use super::origin::{Origin, Setting};
use super::parse;
use super::secret::Secret;
use super::tables::directory;
use super::url::{Login, RedisUrl};

/// A password file is one line.
const PASSWORD_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Who to log in as.
pub(super) struct Credentials {
    pub(super) username: Setting<Option<String>>,
    pub(super) password: Setting<Option<Secret>>,
}

/// Resolves user name and password.
pub(super) fn credentials(
    layers: &Layers<'_>,
    urls: &Setting<Vec<RedisUrl>>,
) -> Result<Credentials, ConfigError> {
    let username = layers.optional("username", parse::line)?;
    let password = password(layers)?;
    let Some(login) = urls.value.iter().find_map(|url| url.login.as_ref()) else {
        return Ok(Credentials { username, password });
    };
    let Login { username: url_name, password: url_word } = login.clone();
    Ok(Credentials {
        username: higher(username, urls.derive(url_name)),
        password: higher(password, urls.derive(url_word)),
    })
}

/// Resolves the database.
pub(super) fn db(layers: &Layers<'_>, urls: &Setting<Vec<RedisUrl>>) -> Result<Setting<u32>, ConfigError> {
    let own = layers.must("db", parse::whole)?;
    let in_url = urls.value.iter().find_map(|url| url.db);
    Ok(in_url.map_or_else(|| own.clone(), |db| higher(own.clone(), urls.derive(db))))
}

/// A setting of its own, unless the URL comes from a higher layer or nobody set it.
fn higher<T>(own: Setting<T>, in_url: Setting<T>) -> Setting<T> {
    let own_wins = own.origin != Origin::Default && own.origin.rank() >= in_url.origin.rank();
    if own_wins { own } else { in_url }
}

/// `password` or what `password_file` holds: the higher layer, and `password` within one.
fn password(layers: &Layers<'_>) -> Result<Setting<Option<Secret>>, ConfigError> {
    let direct = layers.optional("password", parse::secret)?;
    match layers.one("password_file", parse::path)? {
        Some(file) if file.origin.rank() > direct.origin.rank() => read_password(file),
        _ => Ok(direct),
    }
}

/// The file's text without its line end. A relative path from the job file starts in the directory
/// of that file.
fn read_password(file: Setting<PathBuf>) -> Result<Setting<Option<Secret>>, ConfigError> {
    let Setting { value, origin } = file;
    let path = match &origin {
        Origin::File { path: job_file, .. } => directory(job_file).join(&value),
        _ => value,
    };
    let failed =
        |source| ConfigError::Unreadable { named_by: format!("{origin}: "), path: path.clone(), source };
    let text = read_text(&path, PASSWORD_FILE_BYTES_MAX).map_err(failed)?;
    let word = text.trim_end_matches(['\r', '\n']);
    if word.is_empty() {
        return Err(failed(std::io::Error::other("it holds no password")));
    }
    Ok(Setting { value: Some(Secret::new(word)), origin })
}
