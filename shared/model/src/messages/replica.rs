//! The state of a replica that was given as an address of a run or a plan: its link to the primary, and the age of its
//! data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A server that is a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsReplica {
    /// `host:port` of its primary.
    pub primary: String,
    /// The state of its link to the primary.
    pub link: Link,
    /// With a link: seconds since the last message from the primary. Without: seconds since the link was lost. Its
    /// data is at least that old. Null if the server does not report it.
    pub age_seconds: Option<u64>,
}

/// The state of a replica's link to its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// It is connected.
    Up,
    /// It was connected and no longer is.
    Lost,
    /// It is receiving a full copy. Until then it has an older state of the data, or none.
    Copying,
    /// It has not been connected since its process started, or since it was configured to follow this primary.
    Never,
}

impl AsReplica {
    /// Whether its data was the primary's at some known time, so that reading it is meaningful.
    #[must_use]
    pub fn is_synchronised(&self) -> bool {
        matches!(self.link, Link::Up | Link::Lost)
    }

    /// Whether it follows its primary now.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.link == Link::Up
    }

    /// The state as a sentence about the server at `address`.
    #[must_use]
    pub fn sentence(&self, address: &str) -> String {
        let primary = &self.primary;
        match (self.link, self.age_seconds) {
            (Link::Up, None) => {
                format!("`{address}` is a replica of `{primary}`: what is newer than its data was not seen")
            }
            (Link::Up, Some(age)) => format!(
                "`{address}` is a replica of `{primary}`, and last heard of it {age} s ago: what is newer was not seen"
            ),
            (Link::Lost, None) => format!(
                "`{address}` is a replica without a link to its primary `{primary}`: how old its data is, is not known"
            ),
            (Link::Lost, Some(age)) => format!(
                "`{address}` is a replica that lost its primary `{primary}` {age} s ago: what is newer was not seen"
            ),
            (Link::Copying, _) => format!(
                "`{address}` is a replica that is receiving a copy of the data of its primary `{primary}`, and not \
                 complete before that"
            ),
            (Link::Never, _) => format!(
                "`{address}` is a replica that has not been synchronised with its primary `{primary}` since it started \
                 to follow it, so what it holds says nothing of it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_sentence() {
        let check = |link, age_seconds, expected: &str| {
            let said = AsReplica { primary: "p:1".to_owned(), link, age_seconds }.sentence("r:2");
            assert_eq!(said, expected);
        };
        let heard = "`r:2` is a replica of `p:1`, and last heard of it 3 s ago: what is newer was not seen";
        check(Link::Up, Some(3), heard);
        let lost = "`r:2` is a replica that lost its primary `p:1` 70 s ago: what is newer was not seen";
        check(Link::Lost, Some(70), lost);
        let unknown =
            "`r:2` is a replica without a link to its primary `p:1`: how old its data is, is not known";
        check(Link::Lost, None, unknown);
    }
}
