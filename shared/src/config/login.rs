//! User name, password and database, which may come from settings of their own or from inside a
//! URL. The higher layer wins; within one layer a setting of its own wins over the URL.
//!
//! User name and password of a URL go together: a URL with a login in it overrules both of them
//! from lower layers, so a password is never sent with the name of another account.

use std::path::PathBuf;

use super::error::ConfigError;
use super::layers::Layers;
use super::origin::{Origin, Setting};
use super::parse;
use super::raw::directory;
use super::secret::Secret;
use super::url::{RedisUrl, UrlLogin};
use crate::files::read_text;
use crate::limits::SECRET_FILE_BYTES_MAX;

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
    let password = secret(layers, "password", "password_file")?;
    let Some(login) = urls.value.iter().find_map(|url| url.login.as_ref()) else {
        return Ok(Credentials { username, password });
    };
    let UrlLogin { username: url_name, password: url_word } = login.clone();
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

/// The secret `name`, or what the file holds that `file_name` names.
pub(super) fn secret(
    layers: &Layers<'_>,
    name: &'static str,
    file_name: &'static str,
) -> Result<Setting<Option<Secret>>, ConfigError> {
    let Some(Setting { value, origin }) = secret_value(layers, name, file_name)? else {
        return Ok(Setting { value: None, origin: Origin::Default });
    };
    let secret = layers.tolerate(value.read(&origin, name), Secret::new("unread"))?;
    Ok(Setting { value: Some(secret), origin })
}

/// A secret whose file, if it is in one, is not read before it is needed: not every process that has the settings has
/// the file. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct SecretSource {
    word: SecretValue,
    origin: Origin,
    what: &'static str,
}

impl SecretSource {
    /// The secret.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn read(&self) -> Result<Secret, ConfigError> {
        self.word.clone().read(&self.origin, self.what)
    }
}

/// The secret `name`, or that in the file that `file_name` names, not read yet.
pub(super) fn unread(
    layers: &Layers<'_>,
    name: &'static str,
    file_name: &'static str,
) -> Result<Setting<Option<SecretSource>>, ConfigError> {
    let Some(Setting { value: word, origin }) = secret_value(layers, name, file_name)? else {
        return Ok(Setting { value: None, origin: Origin::Default });
    };
    let value = Some(SecretSource { word, origin: origin.clone(), what: name });
    Ok(Setting { value, origin })
}

/// A password or token: itself, or the file that holds it.
#[derive(Clone, Debug)]
pub(super) enum SecretValue {
    Known(Secret),
    InFile(PathBuf),
}

impl SecretValue {
    pub(super) fn known(text: &str) -> Self {
        Self::Known(Secret::new(text))
    }

    /// The secret: of a file its text without the line end. `what` it is, is for the message.
    pub(super) fn read(self, origin: &Origin, what: &str) -> Result<Secret, ConfigError> {
        let path = match self {
            Self::Known(secret) => return Ok(secret),
            Self::InFile(path) => path,
        };
        let named_by = format!("{origin}: ");
        let failed = |source| ConfigError::Unreadable { named_by, path: path.clone(), source };
        let text = match read_text(&path, SECRET_FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(source) => return Err(failed(source)),
        };
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(failed(std::io::Error::other(format!("it holds no {what}")))),
            word => Ok(Secret::new(word)),
        }
    }
}

/// The setting `name` or the file that `file_name` names: the higher layer, and `name` within one.
pub(super) fn secret_value(
    layers: &Layers<'_>,
    name: &'static str,
    file_name: &'static str,
) -> Result<Option<Setting<SecretValue>>, ConfigError> {
    let direct = layers.one(name, parse::secret)?;
    let file = layers.one(file_name, parse::path)?.map(located);
    let file_wins = |file: &Setting<PathBuf>| {
        direct.as_ref().is_none_or(|direct| file.origin.rank() > direct.origin.rank())
    };
    match file.filter(file_wins) {
        Some(file) => Ok(Some(file.map(SecretValue::InFile))),
        None => Ok(direct.map(|direct| direct.map(SecretValue::Known))),
    }
}

/// A relative path from the job file starts in the directory of that file.
pub(super) fn located(path: Setting<PathBuf>) -> Setting<PathBuf> {
    let Setting { value, origin } = path;
    let value = match &origin {
        Origin::File { path: job_file, .. } => directory(job_file).join(value),
        _ => value,
    };
    Setting { value, origin }
}
