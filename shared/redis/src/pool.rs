//! Connections kept for their next use. Each holds about as much memory as the longest reply it ever read, which is
//! long in a large cluster, so only the most recently used ones are kept.

use keysweep_model::ids::NodeId;

use super::conn::Conn;
use crate::limits::CONNS_MAX;

/// A pool of the most recently used connections. A caller that uses an evicted connection keeps it until it is done.
pub(super) struct Pool<C = Conn> {
    /// The most recently used one is last.
    conns: Vec<(NodeId, C)>,
}

impl<C: Clone> Pool<C> {
    /// An empty pool.
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

    /// Removes the connection to `node`.
    pub(super) fn remove(&mut self, node: &NodeId) {
        self.conns.retain(|(known, _)| known != node);
    }

    /// Removes all connections.
    pub(super) fn clear(&mut self) {
        self.conns.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_recently_used_connections_are_kept() {
        let mut pool = Pool::<usize>::new();
        let node = |n: usize| NodeId::new(n.to_string());
        (0..CONNS_MAX).for_each(|n| pool.insert(node(n), n));
        assert_eq!(pool.get(&node(0)), Some(0));
        pool.insert(node(CONNS_MAX), CONNS_MAX);
        let kept: Vec<usize> = (0..=CONNS_MAX).filter_map(|n| pool.get(&node(n))).collect();
        let expected: Vec<usize> = (0..=CONNS_MAX).filter(|n| *n != 1).collect();
        assert_eq!(kept, expected, "the least recently used one is evicted");
        pool.insert(node(5), 500);
        pool.remove(&node(6));
        assert_eq!((pool.get(&node(5)), pool.get(&node(6))), (Some(500), None));
        assert_eq!(pool.conns.len(), CONNS_MAX - 1);
        pool.clear();
        assert_eq!(pool.get(&node(5)), None);
    }
}
