//! The options of the NATS client: login, certificates, reconnect delays. Files are checked here, because the client's
//! errors do not name the file.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use keysweep_files::read_text;
use keysweep_signing::limits::LOGIN_FILE_BYTES_MAX;

use super::access::{NatsAuth, NatsOptions};
use super::connect::{ANSWER_TIMEOUT, Complaint, NatsError, observe};

/// The reconnect delay grows by `STEP` per attempt, up to `STEPS_MAX` steps.
const STEPS_MAX: usize = 20;
const STEP: Duration = Duration::from_millis(50);

/// The characters of an nkey seed.
const SEED_CHARS: usize = 58;

/// The client's options for `access`. `shown` are the seed addresses for errors.
pub(super) async fn settled(
    access: &NatsOptions,
    name: &str,
    shown: &str,
    complaint: Complaint,
) -> Result<ConnectOptions, NatsError> {
    let unusable = |path: &Path, e: io::Error| NatsError::Refused {
        urls: shown.to_owned(),
        cause: format!("cannot use `{}`: {e}", path.display()),
    };
    let options = ConnectOptions::new()
        .name(name)
        .request_timeout(Some(ANSWER_TIMEOUT))
        .reconnect_delay_callback(|attempts| {
            // Attempts count from 1; the first one is not delayed.
            STEP * u32::try_from(attempts.saturating_sub(1).min(STEPS_MAX)).unwrap_or_default()
        })
        .event_callback(move |event| {
            let complaint = Arc::clone(&complaint);
            async move { observe(&event, &complaint) }
        });
    let options = match &access.login {
        NatsAuth::Open => options,
        NatsAuth::Password(user, password) => {
            options.user_and_password(user.clone(), password.expose().to_owned())
        }
        NatsAuth::Token(token) => options.token(token.expose().to_owned()),
        NatsAuth::Creds(path) => {
            let text = read(path).map_err(|e| unusable(path, e))?;
            options.credentials(&text).map_err(|e| unusable(path, e))?
        }
        NatsAuth::Nkey(path) => {
            let text = read(path).map_err(|e| unusable(path, e))?;
            let none = || unusable(path, invalid("it contains no nkey seed (a line that begins with `SU`)"));
            options.nkey(seed(&text).ok_or_else(none)?.to_owned())
        }
    };
    let options = match &access.ca {
        Some(ca) => {
            holds(ca, "CERTIFICATE-----").map_err(|e| unusable(ca, e))?;
            options.add_root_certificates(ca.clone()).require_tls(true)
        }
        None => options,
    };
    Ok(match &access.identity {
        Some((cert, key)) => {
            holds(cert, "CERTIFICATE-----").map_err(|e| unusable(cert, e))?;
            holds(key, "PRIVATE KEY-----").map_err(|e| unusable(key, e))?;
            options.add_client_certificate(cert.clone(), key.clone()).require_tls(true)
        }
        None => options,
    })
}

/// The seed in a file as `nk` writes it, with or without the marks around it.
fn seed(text: &str) -> Option<&str> {
    let is_seed = |line: &&str| {
        line.len() == SEED_CHARS && line.starts_with("SU") && line.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    text.lines().map(str::trim).find(is_seed)
}

/// Fails if a PEM file does not contain `what`. The client would silently continue without it.
fn holds(path: &Path, what: &str) -> io::Result<()> {
    let there =
        read(path)?.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim().ends_with(what));
    let what = what.trim_end_matches('-').to_ascii_lowercase();
    if there { Ok(()) } else { Err(invalid(&format!("it contains no {what} in PEM"))) }
}

fn read(path: &Path) -> io::Result<String> {
    read_text(path, LOGIN_FILE_BYTES_MAX).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => invalid("it is not text"),
        _ => e,
    })
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_found_bare_and_between_marks() {
        let good = format!("SU{}", "A".repeat(SEED_CHARS - 2));
        let check = |text: &str, expected: bool| assert_eq!(seed(text).is_some(), expected, "{text:?}");
        check(&good, true);
        check(&format!("  {good}\n"), true);
        check(&format!("-----BEGIN USER NKEY SEED-----\n{good}\n------END USER NKEY SEED------\n"), true);
        check(&good.replacen('U', "X", 1), false);
        check(&good[1..], false);
        check("", false);
    }
}
