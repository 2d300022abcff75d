//! Connections that are kept for their next use. Each holds about as much memory as the longest answer that it ever
//! read, and in a large cluster that is long, so only those used last are kept.

use super::conn::Conn;
use crate::ids::NodeId;
use crate::limits::CONNS_MAX;

/// See the module. Whoever uses one that is given up keeps it until he is done.
pub(super) struct Pool<C = Conn> {
    /// The one used last is at the end.
    conns: Vec<(NodeId, C)>,
}

impl<C: Clone> Pool<C> {
    /// One without connections.
    pub(super) fn new() -> Self {
        Self { conns: Vec::new() }
    }

    /// The connection to `node`, if there is one.
    pub(super) fn get(&mut self, node: &NodeId) -> Option<C> {
        let place = self.conns.iter().position(|(known, _)| known == node)?;
        self.conns[place..].rotate_left(1);
        self.conns.last().map(|(_, conn)| conn.clone())
    }

    /// Keeps `conn` for `node`, in place of an older one.
    pub(super) fn insert(&mut self, node: NodeId, conn: C) {
        self.remove(&node);
        if self.conns.len() >= CONNS_MAX {
            self.conns.remove(0);
        }
        self.conns.push((node, conn));
    }

    /// Gives up the connection to `node`.
    pub(super) fn remove(&mut self, node: &NodeId) {
        self.conns.retain(|(known, _)| known != node);
    }

    /// Gives up all of them.
    pub(super) fn clear(&mut self) {
        self.conns.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_used_last_are_kept() {
        let mut pool = Pool::<usize>::new();
        let node = |n: usize| NodeId::new(n.to_string());
        (0..CONNS_MAX).for_each(|n| pool.insert(node(n), n));
        assert_eq!(pool.get(&node(0)), Some(0));
        pool.insert(node(CONNS_MAX), CONNS_MAX);
        let kept: Vec<usize> = (0..=CONNS_MAX).filter_map(|n| pool.get(&node(n))).collect();
        let expected: Vec<usize> = (0..=CONNS_MAX).filter(|n| *n != 1).collect();
        assert_eq!(kept, expected, "the one that nobody used for longest is gone");
        pool.insert(node(5), 500);
        pool.remove(&node(6));
        assert_eq!((pool.get(&node(5)), pool.get(&node(6))), (Some(500), None));
        assert_eq!(pool.conns.len(), CONNS_MAX - 1);
        pool.clear();
        assert_eq!(pool.get(&node(5)), None);
    }
}
