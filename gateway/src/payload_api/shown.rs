//! Payloads that subscribers were shown by reference, found by id while they live.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use towpath_event::{PayloadId, SetAside};

/// Payloads that subscribers were shown by reference.
///
/// A payload is deleted with its last handle, so being shown does not keep it: the delivery does until it is settled,
/// and after that `Grace`, for a while. The table has at most twice as many entries as there are payloads alive.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    shown: HashMap<PayloadId, Weak<dyn SetAside>>,
    /// So many entries are looked through for dead ones: twice what was alive the last time.
    look_at: usize,
}

/// Fewer entries are not worth looking through.
const FEW: usize = 64;

impl Shown {
    /// Makes `payload` be found by `id`, which its URL or file name has, as long as it lives. Its size must be known: it has been announced, or the
    /// payload is complete.
    pub(crate) fn show(&self, id: PayloadId, payload: &Arc<dyn SetAside>) {
        let mut table = self.table();
        if table.shown.len() >= table.look_at.max(FEW) {
            table.shown.retain(|_, shown| shown.strong_count() > 0);
            table.look_at = table.shown.len() * 2;
        }
        table.shown.insert(id, Arc::downgrade(payload));
    }

    /// The payload with this id, if it was shown and still lives.
    pub(crate) fn get(&self, id: PayloadId) -> Option<Arc<dyn SetAside>> {
        self.table().shown.get(&id).and_then(Weak::upgrade)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload_api::tests::stored;

    #[test]
    fn what_was_shown_is_found_while_it_lives() {
        let shown = Shown::default();
        let payload = stored("data");
        let id = payload.claim().id;
        assert!(shown.get(id).is_none());
        shown.show(id, &payload);
        assert!(Arc::ptr_eq(&shown.get(id).unwrap(), &payload));
        drop(payload);
        assert!(shown.get(id).is_none());
    }

    #[test]
    fn dead_entries_do_not_pile_up() {
        let shown = Shown::default();
        let alive: Vec<_> = (0..100).map(|_| stored("alive")).collect();
        alive
            .iter()
            .for_each(|payload| shown.show(payload.claim().id, payload));
        for _ in 0..5000 {
            let gone = stored("gone");
            shown.show(gone.claim().id, &gone);
        }
        let entries = shown.table().shown.len();
        assert!(entries <= 2 * (alive.len() + FEW), "{entries} entries");
        assert!(alive.iter().all(|p| shown.get(p.claim().id).is_some()));
    }
}
