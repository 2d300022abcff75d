//! The replication fields of INFO: a server's offset, its primary, and its replicas. Pure.

use keysweep_model::messages::{AsReplica, Link};

use super::info::{Info, part};
use crate::limits::REPLICAS_MAX;

/// A server's position in its replication chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicationInfo {
    /// `run_id`: identifies the process.
    pub process: String,
    /// Whether it is a replica.
    pub replica: bool,
    /// `master_replid`: the history of its data. A replica in sync has that of its primary.
    pub replication_id: String,
    /// How many bytes of that history it has: written, on a primary; executed, on a replica.
    pub offset: u64,
    /// Whether a replica is connected to its primary and not in a full resync.
    pub linked: bool,
    /// Whether it is loading its data set.
    pub loading: bool,
    /// Seconds since a replica last received data from its primary.
    pub last_io_s: u64,
    /// `host` and `port` of its replicas that are online, as they announce themselves; at most [`REPLICAS_MAX`].
    pub followers: Vec<(String, u16)>,
}

/// Why a replica cannot be read instead of its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotInSync {
    /// It follows no primary or another one, or has lost its primary; the reason.
    Useless(&'static str),
    /// It lacks this many bytes.
    Behind(u64),
}

impl ReplicationInfo {
    /// Parses the fields. An absent field counts as the unfavorable value.
    #[must_use]
    pub fn of(info: &Info) -> Self {
        let replica = info.text("role") == Some("slave");
        let offset = if replica { "slave_repl_offset" } else { "master_repl_offset" };
        let follower = |n: usize| follower(info.text(&format!("slave{n}"))?);
        Self {
            process: info.text("run_id").unwrap_or_default().to_owned(),
            replica,
            replication_id: info.text("master_replid").unwrap_or_default().to_owned(),
            offset: info.number(offset).unwrap_or_default(),
            linked: info.text("master_link_status") == Some("up")
                && info.number("master_sync_in_progress") == Some(0),
            loading: info.number("loading") == Some(1),
            last_io_s: info.number("master_last_io_seconds_ago").unwrap_or_default(),
            followers: (0..REPLICAS_MAX).filter_map(follower).collect(),
        }
    }

    /// Whether this replica has what `primary` had when its own INFO was read. A key that existed then, and was not
    /// removed since, is found here.
    ///
    /// # Errors
    /// The reason why not.
    pub fn is_caught_up_with(&self, primary: &Self) -> Result<(), NotInSync> {
        let useless = |why| Err(NotInSync::Useless(why));
        match self {
            _ if !self.replica => useless("is no longer a replica"),
            _ if self.loading => useless("is loading its data set"),
            _ if !self.linked => useless("has no link to its primary"),
            _ if self.replication_id.is_empty() || self.replication_id != primary.replication_id => {
                useless("follows another history than the primary's")
            }
            _ if self.offset < primary.offset => Err(NotInSync::Behind(primary.offset - self.offset)),
            _ => Ok(()),
        }
    }
}

/// The replication state of a server, if it is a replica. An absent field counts as the unfavorable value.
pub(super) fn as_replica(info: &Info) -> Option<AsReplica> {
    if info.text("role") != Some("slave") {
        return None;
    }
    let part = |name| info.text(name).unwrap_or("?");
    let primary = format!("{}:{}", part("master_host"), part("master_port"));
    // A server that has never had a link reports -1, which is not a valid number here.
    let lost_for = info.number("master_link_down_since_seconds");
    let (link, age_seconds) = match info.text("master_link_status") {
        _ if info.number("master_sync_in_progress") == Some(1) => (Link::Copying, None),
        Some("up") => (Link::Up, info.number("master_last_io_seconds_ago")),
        _ if lost_for.is_some() => (Link::Lost, lost_for),
        _ => (Link::Never, None),
    };
    Some(AsReplica { primary, link, age_seconds })
}

/// Parses `ip=127.0.0.1,port=6380,state=online,offset=14,lag=0`; `None` for a replica that is not online.
fn follower(text: &str) -> Option<(String, u16)> {
    let port = part(text, "port")?.parse().ok()?;
    (part(text, "state") == Some("online")).then_some((part(text, "ip")?.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From redis-server 7.0.15, shortened.
    const PRIMARY: &str = "run_id:aa\r\nloading:0\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=127.0.0.1,port=6380,state=online,offset=14,lag=0\r\n\
        slave1:ip=127.0.0.1,port=6381,state=wait_bgsave,offset=0,lag=0\r\n\
        master_replid:8c5f\r\nmaster_repl_offset:1414\r\n";
    const REPLICA: &str = "run_id:bb\r\nloading:0\r\nrole:slave\r\nmaster_link_status:up\r\n\
        master_last_io_seconds_ago:3\r\nmaster_sync_in_progress:0\r\nslave_read_repl_offset:1420\r\n\
        slave_repl_offset:1414\r\nmaster_replid:8c5f\r\nmaster_repl_offset:1414\r\n";

    #[test]
    fn primary_and_replica_are_parsed() {
        let primary = ReplicationInfo::of(&Info::parse(PRIMARY));
        assert_eq!(primary.followers, [("127.0.0.1".to_owned(), 6380)], "only online replicas");
        assert_eq!((primary.offset, primary.replica), (1_414, false));
        let replica = ReplicationInfo::of(&Info::parse(REPLICA));
        assert_eq!((replica.offset, replica.last_io_s, replica.linked), (1_414, 3, true));
        assert_eq!(replica.is_caught_up_with(&primary), Ok(()));
    }

    #[test]
    fn replica_reports_the_age_of_its_data() {
        let check = |info: &str, expected: Option<(Link, Option<u64>)>| {
            let state = as_replica(&Info::parse(info));
            assert_eq!(state.map(|state| (state.link, state.age_seconds)), expected, "{info}");
        };
        check(PRIMARY, None);
        check(REPLICA, Some((Link::Up, Some(3))));
        check(&REPLICA.replace("progress:0", "progress:1"), Some((Link::Copying, None)));
        // From redis-server 7.0.15 whose primary has gone, and from one that never had a link.
        let down = REPLICA.replace("status:up", "status:down").replace("ago:3", "ago:-1");
        check(&format!("{down}master_link_down_since_seconds:70\r\n"), Some((Link::Lost, Some(70))));
        check(&format!("{down}master_link_down_since_seconds:-1\r\n"), Some((Link::Never, None)));
        check(&down, Some((Link::Never, None)));
    }

    #[test]
    fn replica_is_read_only_if_it_is_caught_up() {
        let primary = ReplicationInfo::of(&Info::parse(PRIMARY));
        let check = |from: &str, to: &str, expected: NotInSync| {
            assert!(REPLICA.contains(from), "{from}");
            let replica = ReplicationInfo::of(&Info::parse(REPLICA.replace(from, to)));
            assert_eq!(replica.is_caught_up_with(&primary), Err(expected), "{to}");
        };
        check("slave_repl_offset:1414", "slave_repl_offset:1400", NotInSync::Behind(14));
        check("slave_repl_offset:1414\r\n", "", NotInSync::Behind(1_414));
        check("status:up", "status:down", NotInSync::Useless("has no link to its primary"));
        check("progress:0", "progress:1", NotInSync::Useless("has no link to its primary"));
        check("loading:0", "loading:1", NotInSync::Useless("is loading its data set"));
        check("role:slave", "role:master", NotInSync::Useless("is no longer a replica"));
        let other = NotInSync::Useless("follows another history than the primary's");
        check("replid:8c5f", "replid:0000", other.clone());
        check("master_replid:8c5f\r\n", "", other);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes: Vec<u8>, rows in "(slave[0-9]:[a-z0-9=,.:]{0,40}\r\n){0,20}") {
            for info in [Info::parse(bytes), Info::parse(rows)] {
                let state = ReplicationInfo::of(&info);
                prop_assert!(state.followers.len() <= REPLICAS_MAX);
                prop_assert!(state.is_caught_up_with(&state).is_ok() <= state.replica);
            }
        }
    }
}
