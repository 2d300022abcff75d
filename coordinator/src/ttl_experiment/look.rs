//! A look at the live keys of users: their names, and when they expire. Reads only.

use keysweep_model::glob::Pattern;
use keysweep_model::key;
use keysweep_model::key_template::KeyTemplate;
use keysweep_model::scan_end::ScanEnd;
use keysweep_redis::{
    Listing, LookupKind, RedisClient, RedisError, RedisErrorKind, ScanConnection, Throttle, WindowReply, node,
};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::EXPERIMENT_PAGE_KEYS;

/// Which keys belong to users.
#[derive(Clone, Debug)]
pub struct UserKeys {
    /// Keys that match one of these,
    pub patterns: Vec<Pattern>,
    /// and have a user by this.
    pub identity: KeyTemplate,
}

/// A live key of a user.
pub(super) struct LiveKey<'a> {
    pub(super) user: &'a [u8],
    /// The hash of its name.
    pub(super) key: u64,
    pub(super) expires_ms: u64,
    /// When it was read, by the clock of the servers.
    pub(super) now_ms: u64,
}

impl UserKeys {
    /// The user of a key: the shortest id that the template allows.
    fn user<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        if key::is_own(key) || !self.patterns.iter().any(|pattern| pattern.matches(key)) {
            return None;
        }
        let mut user = None;
        self.identity.user(key, |id| {
            user = Some(id);
            true
        });
        user
    }
}

/// The time of the deployment, in ms since the epoch: that of its first primary.
pub(super) async fn server_time(client: &RedisClient) -> Result<u64, RedisError> {
    let topology = client.topology();
    let none = || RedisError::new(RedisErrorKind::Unavailable, "the deployment", "it has no primary");
    let first = topology.primaries.first().ok_or_else(none)?;
    node::time_ms(&client.conn(&first.node).await?).await
}

/// Passes all live keys of users to `each`, node by node. `begun_ms` is the time of the servers now. Keys that the servers
/// list twice are passed twice.
///
/// # Errors
/// When a node fails: then not all keys were seen.
pub(super) async fn read_keys(
    client: &RedisClient,
    keys: &UserKeys,
    breaks: Throttle,
    begun_ms: u64,
    mut each: impl FnMut(LiveKey<'_>),
) -> Result<(), RedisError> {
    let (topology, begun) = (client.topology(), Instant::now());
    for primary in &topology.primaries {
        let conn = client.conn(&primary.node).await?;
        let counted = node::status(&conn, client.db()).await?.keys;
        let mut reading = Reading { lister: conn.lister(), counted, breaks };
        let seen = |key: &[u8], expires_ms: u64| {
            if let Some(user) = keys.user(key) {
                let now_ms = begun_ms + u64::try_from(begun.elapsed().as_millis()).unwrap_or_default();
                each(LiveKey { user, key: xxh3_64(key), expires_ms, now_ms });
            }
        };
        reading.read(keys, seen).await?;
    }
    Ok(())
}

/// One node in progress.
struct Reading {
    lister: ScanConnection,
    /// Keys by the server's count.
    counted: u64,
    breaks: Throttle,
}

impl Reading {
    /// Lists all keys, and looks up those of users together with the next page.
    async fn read(&mut self, keys: &UserKeys, mut seen: impl FnMut(&[u8], u64)) -> Result<(), RedisError> {
        let count = self.breaks.at_once(EXPERIMENT_PAGE_KEYS) as u32;
        let (mut cursor, mut end) = (0, ScanEnd::new(0, 0, self.counted));
        let (mut answers, mut open): (WindowReply, Vec<Vec<u8>>) = Default::default();
        loop {
            let sent = Instant::now();
            let page = [Listing::Scan { cursor, count }];
            self.look_up(&page, &open, &mut answers).await?;
            self.breaks.rest(sent).await;
            pass(&open, &answers, &mut seen);
            open.clear();
            open.extend(answers.keys().filter(|key| keys.user(key).is_some()).map(<[u8]>::to_vec));
            let next = answers.pages().next().map_or(0, |page| page.next);
            if next == 0 {
                break;
            }
            let on = end.check_progress(&next, count.into(), answers.keys().count() as u64);
            on.map_err(|why| RedisError::new(RedisErrorKind::Protocol, self.lister.address(), why))?;
            cursor = next;
        }
        self.look_up(&[], &open, &mut answers).await?;
        pass(&open, &answers, &mut seen);
        Ok(())
    }

    async fn look_up(
        &mut self,
        page: &[Listing],
        open: &[Vec<u8>],
        answers: &mut WindowReply,
    ) -> Result<(), RedisError> {
        self.lister.window(page, open.iter().map(Vec::as_slice), LookupKind::Expiry, answers).await
    }
}

fn pass(keys: &[Vec<u8>], answers: &WindowReply, seen: &mut impl FnMut(&[u8], u64)) {
    for (key, state) in keys.iter().zip(answers.seen()) {
        if let Some(expires_ms) = state.expires_at_ms {
            seen(key, expires_ms);
        }
    }
}
