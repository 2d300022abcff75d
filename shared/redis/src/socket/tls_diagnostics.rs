//! Messages for TLS failures: what is wrong, at which end, and how to fix it.

use std::io;

use jiff::Timestamp;
use keysweep_tls::{OF_VERSION_1, is_of_version_1};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

/// The server does not speak TLS.
pub(super) const PLAIN: &str = "this port speaks no TLS; write `redis://` instead of `rediss://`, or give the \
                                server's `tls-port`";

/// The server requires TLS.
pub(super) const ENCRYPTED: &str = "this port speaks TLS only; write `rediss://` instead of `redis://`";

/// A host that no certificate can be for.
pub(super) fn no_name(host: &str) -> String {
    format!("`{host}` is not a name that a certificate can have; set the name with `--sni`")
}

/// The problem, if `error` is about TLS. `host` is what we connected to.
pub(super) fn of(error: &io::Error, host: &str) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match inner {
        Error::InvalidCertificate(what) => of_certificate(what, host),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) => "it does not speak TLS; check the host and the port".to_owned(),
        Error::PeerIncompatible(_) => format!("it supports no TLS version of ours (1.2 and 1.3): {inner}"),
        other => other.to_string(),
    })
}

/// Whether the peer of this failure may be a server without TLS.
pub(super) fn may_be_plain(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::InvalidMessage(_))) || error.kind() == io::ErrorKind::UnexpectedEof
}

/// The problem with the server's certificate.
fn of_certificate(what: &CertificateError, host: &str) -> String {
    match what {
        CertificateError::UnknownIssuer => {
            "its certificate was issued by an authority that is not trusted; name the file of that authority's \
             certificate with `--cacert`"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate was issued by another authority than the one of the same name that is trusted; name the \
             file of the right one with `--cacert`"
                .to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate has expired, on {}; the server needs a new one", date(*not_after))
        }
        CertificateError::Expired => "its certificate has expired; the server needs a new one".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is valid from {} on; check both clocks", date(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let holds = match presented.as_slice() {
                [] => "no name at all".to_owned(),
                names => names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", "),
            };
            let expected = expected.to_str();
            format!("its certificate is not for `{expected}`, but for {holds}; say which of its names is meant with `--sni`")
        }
        CertificateError::NotValidForName => {
            format!("its certificate is not for `{host}`; say which of its names is meant with `--sni`")
        }
        other if is_of_version_1(other) => format!("its certificate {OF_VERSION_1}"),
        other => format!("its certificate cannot be trusted: {other}"),
    }
}

/// `DnsName("cache")` as `cache`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    format!("`{}`", inner.trim_matches('"'))
}

/// The problem that the server reports about our certificate.
fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it wants a client certificate; name ours and its key with `--cert` and `--key`".to_owned()
        }
        // TLS 1.2 has no other alert for it, but uses this one also for incompatible ciphers.
        AlertDescription::HandshakeFailure => {
            "it broke off TLS, as a server does that wants a client certificate; name ours and its key with `--cert` \
             and `--key`"
                .to_owned()
        }
        AlertDescription::CertificateExpired => {
            "it says that our certificate has expired; `--cert` needs a new one".to_owned()
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => {
            format!("it does not take our certificate ({alert:?}); `--cert` has to be one of an authority that the server trusts")
        }
        other => format!("it broke off TLS: {other:?}"),
    }
}

fn date(moment: UnixTime) -> String {
    let seconds = i64::try_from(moment.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds)
        .map_or_else(|_| "a date out of range".to_owned(), |moment| moment.to_string())
}
