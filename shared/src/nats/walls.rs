//! Which protections are missing between the clients of a NATS, in words for operators.

use super::connect::Nats;

/// The protections that are missing, as far as this connection shows: sentences that name what to do. `shares` says
/// whether other users are meant to be in our account, as the coordinator and the admin are.
#[must_use]
pub fn missing_walls(nats: &Nats, shares: bool) -> Vec<&'static str> {
    let mut walls = Vec::new();
    if !nats.client.server_info().auth_required {
        walls.push(
            "NATS asks for no login: every client can start runs and have keys deleted; \
             `deploy/nats-account.conf` has a login for each role",
        );
    } else if !shares && !nats.imported {
        walls.push(
            "this role shares a NATS account with others, so it could have JetStream publish in their name; \
             `deploy/nats-account.conf` gives each role an account of its own",
        );
    }
    if !nats.authority.is_strict() {
        walls.push(
            "runs are not signed: a client that can write to the streams can have keys deleted; `keysweep nats keys FILE` makes a \
             key for `[nats] signing_key_file` and `trusted_keys`",
        );
    }
    walls
}
