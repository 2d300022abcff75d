//! The two ways to act as one: what a node needs for either, and the call.

use super::transactions::Desk;
use super::{Mode, Verdict, Window, call, load};
use crate::cluster::conn::Conn;
use crate::cluster::fault::Fault;
use crate::messages::{Group, Lookups, Way};

/// What it takes to act at one node.
#[derive(Clone)]
pub enum Means {
    /// The name of the script, which is loaded there.
    Script(Vec<u8>),
    /// Connections for transactions.
    Transactions(Desk),
}

/// What a call answered for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What became of it.
    pub verdict: Verdict,
    /// Look-ups that it took beyond those that [`super::lookups`] tells of its outcomes.
    pub beyond: Lookups,
}

impl Means {
    /// Makes the server behind `conn` ready for `way`.
    pub async fn prepare(conn: &Conn, way: Way) -> Result<Self, Fault> {
        Ok(match way {
            Way::Script => Self::Script(load(conn).await?),
            Way::Transactions => Self::Transactions(Desk::default()),
        })
    }

    /// Acts on several groups. A group that failed has its fault in its place.
    pub async fn call(
        &self,
        conn: &Conn,
        window: Window,
        mode: Mode,
        groups: &[(usize, &Group)],
    ) -> Result<Vec<Result<Answer, Fault>>, Fault> {
        let desk = match self {
            Self::Script(script) => {
                let verdicts = call(conn, script, window, mode, groups).await?;
                let answer = |verdict| Answer { verdict, beyond: Lookups::default() };
                return Ok(verdicts.into_iter().map(|verdict| verdict.map(answer)).collect());
            }
            Self::Transactions(desk) => desk,
        };
        Ok(desk.call(conn, window, mode, groups).await)
    }
}
