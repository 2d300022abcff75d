//! Constant-time comparison of secrets.

use keysweep_model::secret::Secret;
use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use ring::rand::SystemRandom;

/// Whether `given` is the secret. Both are hashed with a random key, so that the time reveals neither content nor
/// length of the secret. Without random numbers, the result is `false`.
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
