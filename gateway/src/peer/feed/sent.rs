//! How much of what is in flight at the replicas of this node each other gateway has sent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What other gateways have under way here, by their node and the replica.
#[derive(Debug, Default)]
pub(super) struct Senders(Mutex<HashMap<Arc<str>, HashMap<SocketAddr, Under>>>);

/// What one gateway has under way at one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Under {
    pub(super) attempts: u32,
    pub(super) pulling_nanos: u64,
}

/// One attempt of another gateway, counted as its own in the feed that it gets, while this lives.
#[derive(Debug)]
pub(crate) struct Sent {
    senders: Arc<Senders>,
    node: Arc<str>,
    replica: SocketAddr,
    pulling_nanos: u64,
}

/// Entries of one gateway that are kept though nothing is under way, so that an attempt takes no memory.
const KEPT: usize = 1024;

impl Senders {
    pub(super) fn begin(
        self: &Arc<Self>,
        node: &Arc<str>,
        replica: SocketAddr,
        pull_nanos: u64,
    ) -> Sent {
        let mut table = self.table();
        let replicas = match table.get_mut(node) {
            Some(replicas) => replicas,
            None => table.entry(Arc::clone(node)).or_default(),
        };
        if replicas.len() > KEPT && !replicas.contains_key(&replica) {
            replicas.retain(|_, under| under.attempts > 0);
        }
        let under = replicas.entry(replica).or_default();
        under.attempts = under.attempts.saturating_add(1);
        under.pulling_nanos = under.pulling_nanos.saturating_add(pull_nanos);
        drop(table);
        Sent {
            senders: Arc::clone(self),
            node: Arc::clone(node),
            replica,
            pulling_nanos: pull_nanos,
        }
    }

    /// Calls `each` with what the gateway on `node` has under way at each of `replicas`.
    pub(super) fn of<'a, T: 'a>(
        &self,
        node: &str,
        replicas: impl Iterator<Item = (SocketAddr, T)>,
        mut each: impl FnMut(T, Under),
    ) {
        let table = self.table();
        let sent = table.get(node);
        for (replica, it) in replicas {
            let under = sent.and_then(|sent| sent.get(&replica));
            each(it, under.copied().unwrap_or_default());
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, HashMap<SocketAddr, Under>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// The payload has arrived at the replica: its pull delays nobody any more.
    pub(crate) fn pulled(&mut self) {
        let nanos = std::mem::take(&mut self.pulling_nanos);
        self.change(|under| under.pulling_nanos = under.pulling_nanos.saturating_sub(nanos));
    }

    fn change(&self, change: impl FnOnce(&mut Under)) {
        let mut table = self.senders.table();
        let under = table
            .get_mut(&self.node)
            .and_then(|replicas| replicas.get_mut(&self.replica));
        if let Some(under) = under {
            change(under);
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.pulled();
        self.change(|under| under.attempts = under.attempts.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gateway_is_counted_for_itself() {
        let senders = Arc::<Senders>::default();
        let replica = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (one, other) = (Arc::from("one"), Arc::from("other"));
        let under = |node: &str, port| {
            let mut found = None;
            let asked = std::iter::once((replica(port), ()));
            senders.of(node, asked, |(), under| found = Some(under));
            let under = found.unwrap();
            (under.attempts, under.pulling_nanos)
        };
        let mut first = senders.begin(&one, replica(1), 5);
        let second = senders.begin(&one, replica(1), 7);
        let _other = senders.begin(&other, replica(1), 11);
        assert_eq!((under("one", 1), under("other", 1)), ((2, 12), (1, 11)));
        assert_eq!((under("one", 2), under("nobody", 1)), ((0, 0), (0, 0)));
        first.pulled();
        assert_eq!(under("one", 1), (2, 7));
        drop(first);
        assert_eq!(under("one", 1), (1, 7));
        drop(second);
        assert_eq!(under("one", 1), (0, 0));
    }

    #[test]
    fn what_is_over_does_not_pile_up() {
        let senders = Arc::<Senders>::default();
        let node = Arc::from("one");
        let kept = senders.begin(&node, ([127, 0, 0, 1], 0).into(), 0);
        for port in 1..10_000 {
            senders.begin(&node, ([127, 0, 0, 1], port).into(), 0);
        }
        let entries = senders.table()["one"].len();
        assert!(entries <= KEPT + 2, "{entries}");
        assert_eq!(senders.table()["one"][&kept.replica].attempts, 1);
    }
}
