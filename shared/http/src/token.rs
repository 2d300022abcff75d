//! Tokens of clients: compared in constant time, made of random bits, known again by their digests.

use keysweep_model::printable::hex;
use keysweep_model::secret::Secret;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use ring::rand::{SystemRandom, generate};

/// Whether `given` is the secret. Both are hashed with a random key, so that the time reveals neither content nor
/// length of the secret. Without random numbers, the result is `false`.
#[must_use]
pub fn constant_time_eq(secret: &Secret, given: &[u8]) -> bool {
    let Ok(key) = Key::generate(HMAC_SHA256, &SystemRandom::new()) else { return false };
    verify(&key, given, sign(&key, secret.expose().as_bytes()).as_ref()).is_ok()
}

/// A random text of 256 bits in hexadecimal digits; `None` if the system has no random numbers.
#[must_use]
pub fn random_token() -> Option<Secret> {
    let bytes = generate::<[u8; 32]>(&SystemRandom::new()).ok()?.expose();
    Some(Secret::new(hex(&bytes)))
}

/// The SHA-256 of a token: to know it again without keeping it.
#[must_use]
pub fn token_digest(token: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_is_the_secret() {
        let secret = Secret::new("word");
        assert!(constant_time_eq(&secret, b"word"));
        for other in ["", "wor", "words", "Word", "word "] {
            assert!(!constant_time_eq(&secret, other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn random_tokens_differ_and_their_digests_are_those_of_sha_256() {
        let [one, other] = [random_token().expect("random"), random_token().expect("random")];
        assert!(one != other && one.expose().len() == 64, "256 bits each");
        // The first example of FIPS 180-2.
        assert_eq!(token_digest(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
