//! User name, password and database, which have their own settings and may also be in a URL. The higher layer wins;
//! within one layer, the setting wins over the URL.
//!
//! User name and password of a URL belong together: a URL with a login overrides both of lower layers, so a password
//! is never sent with another user's name.

use std::path::PathBuf;

use keysweep_files::read_text;
use keysweep_model::secret::Secret;

use super::error::ConfigError;
use super::layers::Layers;
use super::origin::{Origin, Setting};
use super::parse;
use super::raw::directory;
use super::table::{JobSources, RedisSources};
use super::url::{RedisUrl, UrlLogin};
use crate::limits::SECRET_FILE_BYTES_MAX;

/// The login of a Redis connection.
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

pub(super) fn username(redis: &RedisSources<'_>) -> Result<Setting<Option<String>>, ConfigError> {
    Ok(redis.credentials.username.clone())
}

pub(super) fn password(redis: &RedisSources<'_>) -> Result<Setting<Option<Secret>>, ConfigError> {
    Ok(redis.credentials.password.clone())
}

pub(super) fn sentinel_password(redis: &RedisSources<'_>) -> Result<Setting<Option<Secret>>, ConfigError> {
    secret(&redis.layers, "sentinel_password", "sentinel_password_file")
}

/// Resolves the database.
pub(super) fn db(layers: &Layers<'_>, urls: &Setting<Vec<RedisUrl>>) -> Result<Setting<u32>, ConfigError> {
    let own = layers.must("db", parse::whole)?;
    let in_url = urls.value.iter().find_map(|url| url.db);
    Ok(in_url.map_or_else(|| own.clone(), |db| higher(own.clone(), urls.derive(db))))
}

/// The setting, unless it is a default or the URL is from a higher layer.
fn higher<T>(own: Setting<T>, in_url: Setting<T>) -> Setting<T> {
    let own_wins = own.origin != Origin::Default && own.origin.rank() >= in_url.origin.rank();
    if own_wins { own } else { in_url }
}

/// The secret `name`, or the content of the file in the setting `file_name`.
pub(super) fn secret(
    layers: &Layers<'_>,
    name: &'static str,
    file_name: &'static str,
) -> Result<Setting<Option<Secret>>, ConfigError> {
    let Some(Setting { value, origin }) = secret_value(layers, name, file_name)? else {
        return Ok(Setting::none());
    };
    let secret = layers.tolerate(value.read(&origin, name), Secret::new("unread"))?;
    Ok(Setting { value: Some(secret), origin })
}

/// A secret whose file is read only when it is needed: not every process with the settings has the file. `Debug`
/// shows no secret.
#[derive(Clone, Debug)]
pub struct SecretSource {
    word: SecretValue,
    origin: Origin,
}

/// The same secret or file, wherever that is said.
impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl SecretSource {
    pub(super) fn known(secret: Secret) -> Self {
        Self { word: SecretValue::Known(secret), origin: Origin::Default }
    }

    /// The secret.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn read(&self) -> Result<Secret, ConfigError> {
        self.word.clone().read(&self.origin, "token")
    }
}

pub(super) fn api_token(job: &JobSources<'_>) -> Result<Setting<Option<SecretSource>>, ConfigError> {
    token(job, "serve.api_token", "serve.api_token_file")
}

pub(super) fn view_token(job: &JobSources<'_>) -> Result<Setting<Option<SecretSource>>, ConfigError> {
    token(job, "serve.view_token", "serve.view_token_file")
}

/// A token of HTTP clients, whose file is not read yet.
fn token(
    job: &JobSources<'_>,
    name: &'static str,
    file_name: &'static str,
) -> Result<Setting<Option<SecretSource>>, ConfigError> {
    let found = secret_value(&job.layers, name, file_name)?;
    Ok(found.map_or(Setting::none(), |Setting { value: word, origin }| {
        let value = Some(SecretSource { word, origin: origin.clone() });
        Setting { value, origin }
    }))
}

/// A password or token, or the file that contains it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SecretValue {
    Known(Secret),
    InFile(PathBuf),
}

impl SecretValue {
    pub(super) fn known(text: &str) -> Self {
        Self::Known(Secret::new(text))
    }

    /// The secret, without the line end of a file. `what` describes it in messages.
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

/// The setting `name` or the file in the setting `file_name`: the higher layer wins, and `name` within one layer.
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
