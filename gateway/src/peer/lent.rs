//! Payloads of this gateway that other gateways may read: while an attempt that refers to one is under way, or under a lease.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towpath_event::{PayloadId, Progress, SetAside};

/// How long a payload is kept for a gateway that says nothing more of it.
pub(super) const LEASE: Duration = Duration::from_secs(60);
/// How often what nobody renewed is let go of.
const SWEEP: Duration = Duration::from_secs(5);

/// Payloads that other gateways may read here. There are as many entries as there are attempts under way and replies that
/// other gateways hold, so what bounds those bounds this.
#[derive(Debug, Default)]
pub(crate) struct Lent(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    lent: HashMap<PayloadId, Entry>,
    leases: HashMap<Arc<str>, HashMap<PayloadId, Lease>>,
}

/// A payload that can be read.
#[derive(Debug)]
struct Entry {
    payload: Arc<dyn SetAside>,
    /// Guards and leases: with the last of them this goes.
    holders: usize,
}

/// A payload that is kept for one gateway.
#[derive(Debug)]
struct Lease {
    /// Replies of that gateway that refer to it.
    replies: usize,
    until: Instant,
}

/// Makes a payload readable for other gateways while it lives.
#[derive(Debug)]
pub(crate) struct LentGuard {
    lent: Arc<Lent>,
    id: PayloadId,
}

impl Lent {
    /// Other gateways may read `payload` while the guard lives: hold it during an attempt.
    pub(crate) fn lend(self: &Arc<Self>, payload: &Arc<dyn SetAside>) -> LentGuard {
        let id = payload.claim().id;
        self.table().hold(id, payload);
        LentGuard {
            lent: Arc::clone(self),
            id,
        }
    }

    /// Keeps `payload` for the gateway on `node` for [`LEASE`] from `now`, and longer if it renews that. Each call takes one
    /// [`release`](Self::release).
    pub(crate) fn keep(&self, node: &Arc<str>, payload: &Arc<dyn SetAside>, now: Instant) {
        let id = payload.claim().id;
        let mut table = self.table();
        let leases = table.leases.entry(Arc::clone(node)).or_default();
        let until = now + LEASE;
        if let Some(lease) = leases.get_mut(&id) {
            lease.replies += 1;
            lease.until = until;
            return;
        }
        leases.insert(id, Lease { replies: 1, until });
        table.hold(id, payload);
    }

    /// Keeps these for the gateway on `node` for [`LEASE`] from `now`; returns those that are not kept for it any more.
    pub(super) fn renew(&self, node: &str, ids: &[PayloadId], now: Instant) -> Vec<PayloadId> {
        let mut table = self.table();
        let mut leases = table.leases.get_mut(node);
        let mut is_gone = |id: &&PayloadId| {
            let lease = leases.as_mut().and_then(|leases| leases.get_mut(*id));
            lease.map(|lease| lease.until = now + LEASE).is_none()
        };
        ids.iter().filter(|id| is_gone(id)).copied().collect()
    }

    /// The gateway on `node` needs these no more, once for each time that an id is named.
    pub(super) fn release(&self, node: &str, ids: &[PayloadId]) {
        let mut ended = Vec::new();
        let mut table = self.table();
        for id in ids {
            let Some(leases) = table.leases.get_mut(node) else {
                return;
            };
            if let Some(lease) = leases.get_mut(id) {
                lease.replies -= 1;
                if lease.replies == 0 {
                    leases.remove(id);
                    ended.extend(table.let_go(*id));
                }
            }
        }
        drop(table);
        drop(ended);
    }

    /// Lets go of what nobody renewed: the gateway that it was kept for is gone.
    fn sweep(&self, now: Instant) {
        let mut ended = Vec::new();
        let mut table = self.table();
        for leases in table.leases.values_mut() {
            ended.extend(leases.extract_if(|_, lease| lease.until <= now));
        }
        table.leases.retain(|_, leases| !leases.is_empty());
        let freed: Vec<_> = ended.iter().map(|(id, _)| table.let_go(*id)).collect();
        drop(table);
        drop(freed);
        if !ended.is_empty() {
            let payloads = ended.len();
            tracing::info!(payloads, "let go of payloads that no other gateway renewed");
        }
    }

    /// Sweeps until `ending`.
    pub(crate) async fn run(self: Arc<Self>, ending: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(SWEEP) => self.sweep(Instant::now()),
                () = ending.cancelled() => return,
            }
        }
    }

    /// The payload with this id, if others may read it.
    pub(crate) fn get(&self, id: PayloadId) -> Option<Arc<dyn SetAside>> {
        self.table()
            .lent
            .get(&id)
            .map(|entry| Arc::clone(&entry.payload))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn hold(&mut self, id: PayloadId, payload: &Arc<dyn SetAside>) {
        let entry = self.lent.entry(id).or_insert_with(|| Entry {
            payload: Arc::clone(payload),
            holders: 0,
        });
        // a copy that was on its way here may have broken off since
        if entry.payload.progress() == Progress::Broken {
            entry.payload = Arc::clone(payload);
        }
        entry.holders += 1;
    }

    /// The payload, if nobody holds it any more: to be dropped outside the lock, since the last handle deletes it.
    fn let_go(&mut self, id: PayloadId) -> Option<Arc<dyn SetAside>> {
        let entry = self.lent.get_mut(&id)?;
        entry.holders -= 1;
        if entry.holders > 0 {
            return None;
        }
        self.lent.remove(&id).map(|entry| entry.payload)
    }
}

impl Drop for LentGuard {
    fn drop(&mut self) {
        let freed = self.lent.table().let_go(self.id);
        drop(freed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::tests::stored;

    fn bed() -> (Arc<Lent>, Arc<str>, Arc<dyn SetAside>, PayloadId) {
        let payload = stored(b"data");
        let id = payload.claim().id;
        (Arc::default(), "there".into(), payload, id)
    }

    #[test]
    fn lent_while_a_guard_lives() {
        let (lent, _, payload, id) = bed();
        assert!(lent.get(id).is_none());
        let (first, second) = (lent.lend(&payload), lent.lend(&payload));
        drop(payload);
        drop(first);
        assert!(lent.get(id).is_some());
        drop(second);
        assert!(lent.get(id).is_none() && lent.table().lent.is_empty());
    }

    #[test]
    fn kept_until_it_is_released_as_often_as_it_was_kept() {
        let (lent, node, payload, id) = bed();
        let now = Instant::now();
        lent.keep(&node, &payload, now);
        lent.keep(&node, &payload, now);
        let weak = Arc::downgrade(&payload);
        drop(payload);
        lent.release("elsewhere", &[id]);
        lent.release(&node, &[id]);
        assert!(lent.get(id).is_some());
        lent.release(&node, &[id, id, PayloadId::from_bytes([1; 16])]);
        assert!(lent.get(id).is_none() && weak.upgrade().is_none());
        assert_eq!(lent.renew(&node, &[id], now), [id]);
    }

    #[test]
    fn what_nobody_renews_is_let_go_of() {
        let (lent, node, payload, id) = bed();
        let start = Instant::now();
        lent.keep(&node, &payload, start);
        let weak = Arc::downgrade(&payload);
        drop(payload);
        assert!(lent.renew(&node, &[id], start + LEASE / 2).is_empty());
        assert_eq!(lent.renew("elsewhere", &[id], start + LEASE), [id]);
        lent.sweep(start + LEASE);
        assert!(lent.get(id).is_some());
        lent.sweep(start + LEASE + LEASE / 2);
        assert!(lent.get(id).is_none() && weak.upgrade().is_none());
        assert!(lent.table().lent.is_empty() && lent.table().leases.is_empty());
    }

    #[test]
    fn a_lease_and_a_guard_hold_it_each_for_itself() {
        let (lent, node, payload, id) = bed();
        lent.keep(&node, &payload, Instant::now());
        let guard = lent.lend(&payload);
        lent.release(&node, &[id]);
        assert!(lent.get(id).is_some());
        drop(guard);
        assert!(lent.get(id).is_none());
    }
}
