//! The two ways to act as one: what a node needs for either, and the call.

use super::transactions::Kept;
use super::{Mode, Part, Verdict, Window, call, load};
use crate::cluster::conn::Conn;
use crate::cluster::fault::Fault;
use crate::messages::{Lookups, Way};

/// What it takes to act at one node.
#[derive(Clone)]
pub enum Means {
    /// The name of the script, which is loaded there.
    Script(Vec<u8>),
    /// What transactions go over.
    Transactions(Kept),
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
            Way::Transactions => Self::Transactions(Kept::default()),
        })
    }

    /// Acts on several groups. A group that failed has its fault in its place. `again` says that calls before had
    /// something left to this one (see [`super::Seal::Later`]).
    pub async fn call(
        &self,
        conn: &Conn,
        (window, mode): (Window, Mode),
        parts: &[Part<'_>],
        again: bool,
    ) -> Result<Vec<Result<Answer, Fault>>, Fault> {
        match self {
            Self::Script(script) => {
                let mut answers = call(conn, script, (window, mode), parts).await?;
                for answer in answers.iter_mut().flatten() {
                    // The script asks a ledger that it has not made what it holds.
                    answer.beyond += Lookups::reads(u64::from(again), 0);
                }
                Ok(answers)
            }
            Self::Transactions(kept) => Ok(kept.call(conn, (window, mode), parts).await),
        }
    }
}
