//! Reports missing protections between the clients of a NATS server, for operators.

use super::connect::Nats;

/// The missing protections, as far as this connection shows: sentences with the remedy. `shares`: whether this role
/// shares an account with others on purpose, as the coordinator and the admin do.
#[must_use]
pub fn missing_protections(nats: &Nats, shares: bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !nats.client.server_info().auth_required {
        missing.push(
            "NATS requires no login: every client can start runs and have keys deleted; \
             `deploy/nats-account.conf` has a login for each role",
        );
    } else if !shares && !nats.imported {
        missing.push(
            "this role shares a NATS account with others, so it could make JetStream publish in their name; \
             `deploy/nats-account.conf` gives each role an account of its own",
        );
    }
    if !nats.authority.is_strict() {
        missing.push(
            "runs are not signed: a client that can write to the streams can have keys deleted; `keysweep nats keys FILE` creates a \
             key for `[nats] signing_key_file` and `trusted_keys`",
        );
    }
    missing
}
