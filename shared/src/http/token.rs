//! Comparing secrets without telling by the time it takes how much of them is right.

use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use ring::rand::SystemRandom;

use crate::config::Secret;

/// Whether `given` is the secret. Both are hashed under a key that nobody knows, so neither content nor length of the
/// secret shows in the time. Without random numbers, nothing is the same.
#[must_use]
pub fn constant_time_eq(secret: &Secret, given: &[u8]) -> bool {
    let Ok(key) = Key::generate(HMAC_SHA256, &SystemRandom::new()) else { return false };
    verify(&key, given, sign(&key, secret.expose().as_bytes()).as_ref()).is_ok()
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
}
