//! The sessions of browsers that have logged in. Pure: kept in memory, and only as digests.

use std::collections::VecDeque;
use std::time::Instant;

use keysweep_http::{random_token, token_digest};
use keysweep_model::secret::Secret;

use super::Role;
use crate::limits::{SESSION_LIFE, SESSIONS_MAX};

/// The sessions, the oldest first.
#[derive(Default)]
pub(super) struct Sessions(VecDeque<Session>);

struct Session {
    digest: [u8; 32],
    role: Role,
    begun: Instant,
}

impl Sessions {
    /// Begins a session, and forgets the oldest one if there are too many. Returns its secret; `None` if the system has
    /// no random numbers.
    pub(super) fn begin(&mut self, role: Role, now: Instant) -> Option<Secret> {
        let secret = random_token()?;
        while self.0.len() >= SESSIONS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Session { digest: token_digest(secret.expose().as_bytes()), role, begun: now });
        Some(secret)
    }

    /// The role of the session with `secret`, until it is too old.
    pub(super) fn role(&mut self, secret: &[u8], now: Instant) -> Option<Role> {
        self.0.retain(|session| now.saturating_duration_since(session.begun) < SESSION_LIFE);
        let digest = token_digest(secret);
        self.0.iter().find(|session| session.digest == digest).map(|session| session.role)
    }

    /// Ends the sessions of all roles for which `ends` holds.
    pub(super) fn end_all(&mut self, ends: impl Fn(Role) -> bool) {
        self.0.retain(|session| !ends(session.role));
    }

    /// Ends the session with `secret`.
    pub(super) fn end(&mut self, secret: &[u8]) {
        let digest = token_digest(secret);
        self.0.retain(|session| session.digest != digest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sessions_end_and_are_bounded() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin(Role::View, now).expect("random");
        let second = sessions.begin(Role::Act, now).expect("random");
        let role =
            |sessions: &mut Sessions, secret: &Secret, now| sessions.role(secret.expose().as_bytes(), now);
        assert_eq!(role(&mut sessions, &first, now), Some(Role::View));
        assert_eq!(role(&mut sessions, &second, now), Some(Role::Act));
        assert_eq!(sessions.role(b"", now), None);
        let last = now + SESSION_LIFE - Duration::from_millis(1);
        assert_eq!(role(&mut sessions, &second, last), Some(Role::Act));
        sessions.end(second.expose().as_bytes());
        assert_eq!(role(&mut sessions, &second, now), None);
        for _ in 1..SESSIONS_MAX {
            sessions.begin(Role::View, now).expect("random");
        }
        assert_eq!(role(&mut sessions, &first, now), Some(Role::View));
        sessions.begin(Role::View, now).expect("random");
        assert_eq!((role(&mut sessions, &first, now), sessions.0.len()), (None, SESSIONS_MAX));
        assert_eq!(role(&mut sessions, &first, now + SESSION_LIFE), None);
        assert_eq!(sessions.0.len(), 0);
    }
}
