//! The login. There are four methods (credentials file, nkey, user with password, token). The highest source with any
//! of them selects the method; methods of lower sources are ignored, so a login is never a mix of two. Two methods
//! in the same source are an error.

use std::path::PathBuf;

use keysweep_model::secret::Secret;

use super::sources::{Offer, Sources, best};
use super::url::{NatsLogin, NatsUrl};
use crate::error::{ConfigError, subject};
use crate::login::SecretValue;
use crate::origin::{Origin, Setting};
use crate::parse;

/// At most one of `creds`, `nkey`, `user` and `token`; `password` only with `user`.
pub(crate) struct NatsIdentity {
    pub(super) creds: Setting<Option<PathBuf>>,
    pub(super) nkey: Setting<Option<PathBuf>>,
    pub(super) user: Setting<Option<String>>,
    pub(super) password: Setting<Option<Secret>>,
    pub(super) token: Setting<Option<Secret>>,
}

/// The methods. If a context has several, the nats CLI uses the first in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AuthMethod {
    User,
    Creds,
    Nkey,
    Token,
}

/// A source that has a value of a method.
struct Claim {
    level: u8,
    way: AuthMethod,
    origin: Origin,
    name: &'static str,
}

/// The values of all sources.
struct Offers {
    creds: Vec<Offer<PathBuf>>,
    nkey: Vec<Offer<PathBuf>>,
    user: Vec<Offer<String>>,
    /// `None` if a URL has a user and no password, or an empty one.
    password: Vec<Offer<Option<SecretValue>>>,
    token: Vec<Offer<SecretValue>>,
}

/// Resolves the login. `urls` may contain logins.
pub(super) fn identity(
    sources: &Sources<'_>,
    urls: &[Offer<Vec<NatsUrl>>],
) -> Result<NatsIdentity, ConfigError> {
    let offers = Offers::collect(sources, urls)?;
    let mut claims = offers.claims();
    let top = claims.iter().map(|claim| claim.level).max();
    claims.retain(|claim| Some(claim.level) == top);
    claims.sort_by_key(|claim| claim.way);
    let Some(first) = claims.first() else { return Ok(NatsIdentity::none()) };
    let other = claims.iter().find(|claim| claim.way != first.way);
    match other {
        Some(other) if !matches!(first.origin, Origin::Context { .. }) => Err(contradiction(first, other)),
        _ => offers.take(first),
    }
}

impl NatsIdentity {
    pub(super) fn none() -> Self {
        let (user, password, token) = (Setting::none(), Setting::none(), Setting::none());
        Self { creds: Setting::none(), nkey: Setting::none(), user, password, token }
    }
}

impl Offers {
    fn collect(sources: &Sources<'_>, urls: &[Offer<Vec<NatsUrl>>]) -> Result<Self, ConfigError> {
        let passwords = sources.secrets("nats.password", "nats.password_file")?;
        let mut offers = Self {
            creds: sources.paths("nats.creds")?,
            nkey: sources.paths("nats.nkey")?,
            user: sources.offers("nats.user", parse::line)?,
            password: passwords.into_iter().map(|offer| offer.map(Some)).collect(),
            token: sources.secrets("nats.token", "nats.token_file")?,
        };
        for urls in urls {
            match urls.setting.value.iter().find_map(|url| url.login.as_ref()) {
                Some(NatsLogin::User(name, word)) => {
                    offers.user.push(urls.with(name.clone()));
                    offers.password.push(urls.with(word.clone().map(SecretValue::Known)));
                }
                Some(NatsLogin::Token(token)) => {
                    offers.token.push(urls.with(SecretValue::Known(token.clone())));
                }
                None => {}
            }
        }
        Ok(offers)
    }

    fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        claim(&mut claims, &self.user, AuthMethod::User, "nats.user");
        claim(&mut claims, &self.password, AuthMethod::User, "nats.password");
        claim(&mut claims, &self.creds, AuthMethod::Creds, "nats.creds");
        claim(&mut claims, &self.nkey, AuthMethod::Nkey, "nats.nkey");
        claim(&mut claims, &self.token, AuthMethod::Token, "nats.token");
        claims
    }

    /// The values of one method. Reads the file of its password or token.
    fn take(self, claim: &Claim) -> Result<NatsIdentity, ConfigError> {
        let none = NatsIdentity::none();
        Ok(match claim.way {
            AuthMethod::Creds => NatsIdentity { creds: best(self.creds), ..none },
            AuthMethod::Nkey => NatsIdentity { nkey: best(self.nkey), ..none },
            AuthMethod::Token => {
                let token = best(self.token);
                NatsIdentity { token: read(token, "token")?, ..none }
            }
            AuthMethod::User => {
                let user = best(self.user);
                if user.value.is_none() {
                    return Err(password_alone(claim));
                }
                let password = best(self.password);
                let origin = password.origin.clone();
                let password = Setting { value: password.value.flatten(), origin };
                NatsIdentity { user, password: read(password, "password")?, ..none }
            }
        })
    }
}

fn claim<T>(claims: &mut Vec<Claim>, offers: &[Offer<T>], way: AuthMethod, name: &'static str) {
    let of = |offer: &Offer<T>| Claim { level: offer.level, way, origin: offer.setting.origin.clone(), name };
    claims.extend(offers.iter().map(of));
}

fn read(word: Setting<Option<SecretValue>>, what: &str) -> Result<Setting<Option<Secret>>, ConfigError> {
    let Setting { value, origin } = word;
    let value = value.map(|word| word.read(&origin, what)).transpose()?;
    Ok(Setting { value, origin })
}

fn contradiction(one: &Claim, other: &Claim) -> ConfigError {
    let (one, other) = (subject(&one.origin, one.name), subject(&other.origin, other.name));
    ConfigError::Contradiction(format!("{one} and {other} are two ways to log in to NATS; give one of them"))
}

fn password_alone(claim: &Claim) -> ConfigError {
    let password = subject(&claim.origin, claim.name);
    ConfigError::Contradiction(format!("{password} needs `nats.user` as well (`--nats-user`)"))
}
