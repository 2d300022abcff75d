//! Signatures of coordinator-only messages, so that readers need not trust the path of a message.
//! `shared/storage/src/records/mod.rs` lists the signed messages. Pure, except for key files.
//!
//! The Ed25519 signature covers the encoded message as stored, and its location: the kind, the NATS prefix, and the
//! key. So a copy at another key, for another run or under another prefix is invalid. A message stays valid at its own
//! location: readers must detect replays themselves (`shared/runtime/src/spec_cache.rs`), because they know what has been done.

pub mod limits;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keysweep_files::read_text;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use thiserror::Error;

use crate::limits::LOGIN_FILE_BYTES_MAX;

/// Bytes of a public key.
const PUBLIC_BYTES: usize = 32;

/// The header of a public key in OpenSSL's format (SubjectPublicKeyInfo of RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Characters of a public key that identify it in messages and logs.
const ID_CHARS: usize = 8;

/// Domain separation: the first bytes of every signed text.
const CONTEXT: &[u8] = b"keysweep order 1";

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Why a key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot use the signing key `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file does not contain a key.
    #[error(
        "cannot use the signing key `{}`: it contains no Ed25519 key in PEM (PKCS #8); `keysweep nats keys FILE` makes one", .0.display()
    )]
    NoKey(PathBuf),
    /// Workers with these settings would reject its signatures.
    #[error(
        "the signing key `{}` has the public key `{public}`, which is not among `[nats] trusted_keys`: add it there, for the workers as well",
        path.display()
    )]
    NotTrusted {
        /// The file of the key.
        path: PathBuf,
        /// Its public half.
        public: PublicKey,
    },
    /// The text is not a public key.
    #[error("no Ed25519 public key in base64, as `keysweep nats keys FILE` prints it")]
    NoPublicKey,
    /// Key generation failed.
    #[error("failed to make a signing key")]
    NotMade,
}

/// Why a message is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// It has no signature.
    #[error(
        "it is not signed, but `[nats] trusted_keys` requires a signature; set `[nats] signing_key_file` where runs are started"
    )]
    Unsigned,
    /// Its key is not trusted.
    #[error("it is signed by the key `{0}…`, which is not among `[nats] trusted_keys`")]
    UnknownKey(String),
    /// It was modified, or signed for another location.
    #[error("its signature does not fit")]
    Forged,
    /// JetStream stored it as the reply to a request.
    #[error("JetStream published it as an answer to a request")]
    Redirected,
}

/// A message and its location.
#[derive(Clone, Copy, Debug)]
pub struct SignedMessage<'a> {
    /// The first word of subjects and buckets.
    pub prefix: &'a str,
    /// Its key in the store, or the name of its queue.
    pub location: &'a str,
    /// The encoded message, as stored.
    pub payload: &'a [u8],
}

impl SignedMessage<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        for part in [self.prefix.as_bytes(), self.location.as_bytes(), self.payload] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part);
        }
        bytes
    }
}

/// A signing key. `Debug` does not show its secret.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl SigningKey {
    /// Reads a file from [`SigningKey::generate`] or `openssl genpkey -algorithm ed25519`.
    ///
    /// # Errors
    /// If it cannot be read, or contains something else.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = read_text(path, LOGIN_FILE_BYTES_MAX)
            .map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        Self::of_pem(&text).ok_or_else(|| KeyError::NoKey(path.to_owned()))
    }

    fn of_pem(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(BEGIN)?;
        let (body, _) = rest.split_once(END)?;
        let body: String = body.split_whitespace().collect();
        let der = BASE64_STANDARD.decode(body).ok()?;
        // OpenSSL omits the public half.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok().map(Self)
    }

    /// Generates a key, as the content of its file.
    ///
    /// # Errors
    /// If the system provides no randomness.
    pub fn generate() -> Result<String, KeyError> {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NotMade)?;
        let body = BASE64_STANDARD.encode(der);
        let lines = body.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line));
        Ok([BEGIN.into()].into_iter().chain(lines).chain([END.into()]).map(|line| line + "\n").collect())
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = [0; PUBLIC_BYTES];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    /// The signature of `order`, with the id of the key.
    #[must_use]
    pub fn sign(&self, order: &SignedMessage<'_>) -> String {
        let signature = self.0.sign(&order.bytes());
        format!("{} {}", self.public().id(), BASE64_STANDARD.encode(signature))
    }
}

/// The public half of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

impl PublicKey {
    fn id(&self) -> String {
        self.to_string().chars().take(ID_CHARS).collect()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Parses the raw key, or OpenSSL's format.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|_| KeyError::NoPublicKey)?;
        let key = bytes.strip_prefix(&SPKI).unwrap_or(&bytes);
        key.try_into().map(Self).map_err(|_| KeyError::NoPublicKey)
    }
}

/// The trusted keys, and the key that signs the messages of this process.
#[derive(Debug, Default)]
pub struct Authority {
    /// The first word of subjects and buckets.
    pub prefix: String,
    /// The key that signs; workers have none.
    pub signing: Option<SigningKey>,
    /// The trusted keys. Without any, no signatures are required.
    pub trusted: Vec<PublicKey>,
}

impl Authority {
    /// The signature of `payload` at `location`; `None` without a signing key.
    #[must_use]
    pub fn sign(&self, location: &str, payload: &[u8]) -> Option<String> {
        let order = SignedMessage { prefix: &self.prefix, location, payload };
        self.signing.as_ref().map(|key| key.sign(&order))
    }

    /// Whether signatures are required.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// Checks the signature of `payload` at `location`.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn check(
        &self,
        location: &str,
        payload: &[u8],
        signature: Option<&str>,
    ) -> Result<(), SignatureError> {
        if !self.is_strict() {
            return Ok(());
        }
        let (id, signature) =
            signature.and_then(|text| text.split_once(' ')).ok_or(SignatureError::Unsigned)?;
        let known = self.trusted.iter().filter(|key| key.id() == id);
        let order = SignedMessage { prefix: &self.prefix, location, payload }.bytes();
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| SignatureError::Forged)?;
        let mut why =
            SignatureError::UnknownKey(id.chars().filter(char::is_ascii_graphic).take(ID_CHARS).collect());
        for key in known {
            if UnparsedPublicKey::new(&ED25519, key.0).verify(&order, &signature).is_ok() {
                return Ok(());
            }
            why = SignatureError::Forged;
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(key: &str, trusted: &[&str]) -> Authority {
        let signing = SigningKey::of_pem(key);
        let public = |key: &&str| SigningKey::of_pem(key).expect("a key").public();
        Authority { prefix: "keysweep".to_owned(), signing, trusted: trusted.iter().map(public).collect() }
    }

    #[test]
    fn message_is_accepted_only_at_its_location_with_a_trusted_key() {
        let (ours, other) = (SigningKey::generate().expect("a key"), SigningKey::generate().expect("a key"));
        let signer = authority(&ours, &[]);
        let signature = signer.sign("runs/1/spec", b"all").expect("a signature");
        let knows = authority(&ours, &[&other, &ours]);
        let check = |location: &str, payload: &[u8], signature: Option<&str>| {
            knows.check(location, payload, signature)
        };
        assert_eq!(check("runs/1/spec", b"all", Some(&signature)), Ok(()));
        assert_eq!(check("runs/2/spec", b"all", Some(&signature)), Err(SignatureError::Forged));
        assert_eq!(check("runs/1/spec", b"all of it", Some(&signature)), Err(SignatureError::Forged));
        assert_eq!(check("runs/1/spec", b"all", None), Err(SignatureError::Unsigned));
        for text in ["", "x", "x y", " ", &signature[..40], &format!("{signature}=")] {
            assert!(check("runs/1/spec", b"all", Some(text)).is_err(), "{text:?}");
        }
        let elsewhere = Authority { prefix: "other".to_owned(), ..authority(&ours, &[&ours]) };
        assert_eq!(elsewhere.check("runs/1/spec", b"all", Some(&signature)), Err(SignatureError::Forged));
        let unknown = authority(&other, &[&other]).check("runs/1/spec", b"all", Some(&signature));
        assert!(matches!(unknown, Err(SignatureError::UnknownKey(_))), "{unknown:?}");
        assert_eq!(
            signer.check("runs/1/spec", b"all", None),
            Ok(()),
            "without trusted keys, all are accepted"
        );
        // The boundaries of the parts are signed as well.
        let joined = SignedMessage { prefix: "ab", location: "c", payload: b"d" }.bytes();
        assert_ne!(joined, SignedMessage { prefix: "a", location: "bc", payload: b"d" }.bytes());
    }

    #[test]
    fn keys_are_read_as_openssl_writes_them() {
        // `openssl genpkey -algorithm ed25519`, and `openssl pkey -pubout` of it (RFC 8410, section 10).
        let key = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        let public = SigningKey::of_pem(key).expect("a key").public();
        let spki = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        assert_eq!(spki.parse::<PublicKey>().expect("a public key"), public);
        assert_eq!(public.to_string().parse::<PublicKey>().expect("a public key"), public);
        assert_eq!(public.to_string().len(), 44);
        assert!("c2hvcnQ=".parse::<PublicKey>().is_err() && "?".parse::<PublicKey>().is_err());
        assert!(
            SigningKey::of_pem("").is_none() && SigningKey::of_pem(&key.replace("MC4C", "MC4D")).is_none()
        );
        assert!(!format!("{:?}", SigningKey::of_pem(key)).contains("1O5y2"), "no secret is shown");
    }
}
