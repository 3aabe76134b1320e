//! Payloads that rest with another gateway and are needed here: their leases, renewed and released in the background.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use towpath_event::PayloadId;

use crate::peer::server::LeaseNews;

/// How often leases are renewed: three times may fail before one ends.
const RENEW: Duration = Duration::from_secs(15);
/// Payloads that are let go of within so long are told together.
const GATHER: Duration = Duration::from_millis(50);
/// Payloads that one request names at most.
const TOGETHER: usize = 4096;

/// The leases that one other gateway gave.
#[derive(Debug, Default)]
pub(super) struct Leases {
    table: Mutex<Table>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// By how many replies.
    held: HashMap<PayloadId, usize>,
    released: Vec<PayloadId>,
}

/// One reply whose payload rests with another gateway. Dropping it says there that it is not needed any more.
#[derive(Debug)]
pub(in crate::peer) struct Hold {
    leases: Arc<Leases>,
    id: PayloadId,
}

impl Leases {
    pub(super) fn hold(self: &Arc<Self>, id: PayloadId) -> Hold {
        *self.table().held.entry(id).or_default() += 1;
        Hold {
            leases: Arc::clone(self),
            id,
        }
    }

    /// What there is to tell next, once there is something: what was released, and each 15 s what is still needed.
    /// `renewed` is when that was told last.
    pub(super) async fn news(&self, renewed: &mut Instant) -> Vec<LeaseNews> {
        tokio::select! {
            () = self.wake.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep_until(*renewed + RENEW) => {}
        }
        let mut table = self.table();
        let release = std::mem::take(&mut table.released);
        let mut renew = Vec::new();
        let now = Instant::now();
        if now >= *renewed + RENEW {
            *renewed = now;
            renew.extend(table.held.keys().copied());
        }
        drop(table);
        let texts = |ids: &[PayloadId]| ids.iter().map(ToString::to_string).collect();
        let released = release.chunks(TOGETHER).map(|release| LeaseNews {
            release: texts(release),
            ..LeaseNews::default()
        });
        let renewed = renew.chunks(TOGETHER).map(|renew| LeaseNews {
            renew: texts(renew),
            ..LeaseNews::default()
        });
        released.chain(renewed).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut table = self.leases.table();
        if let Some(replies) = table.held.get_mut(&self.id) {
            *replies -= 1;
            if *replies == 0 {
                table.held.remove(&self.id);
            }
        }
        table.released.push(self.id);
        drop(table);
        self.leases.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> PayloadId {
        PayloadId::from_bytes([byte; 16])
    }

    #[tokio::test(start_paused = true)]
    async fn tells_what_is_released_together_and_renews_the_rest() {
        let leases = Arc::<Leases>::default();
        let (start, mut renewed) = (Instant::now(), Instant::now());
        let (first, again, second) = (leases.hold(id(1)), leases.hold(id(1)), leases.hold(id(2)));
        drop((first, second));
        let news = leases.news(&mut renewed).await;
        let [LeaseNews { renew, release }] = &news[..] else {
            panic!("{news:?}")
        };
        assert_eq!((renew.len(), release.len()), (0, 2));
        assert_eq!(start.elapsed(), GATHER);
        let news = leases.news(&mut renewed).await;
        assert_eq!(news[0].renew, [id(1).to_string()]);
        assert_eq!(start.elapsed(), RENEW);
        drop(again);
        let news = leases.news(&mut renewed).await;
        assert_eq!(news[0].release, [id(1).to_string()]);
        assert!(
            leases.news(&mut renewed).await.is_empty(),
            "nothing is held"
        );
        assert!(leases.table().held.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_told_in_several_requests() {
        let leases = Arc::<Leases>::default();
        let mut renewed = Instant::now();
        for number in 0..TOGETHER as u128 + 1 {
            drop(leases.hold(PayloadId::from_bytes(number.to_be_bytes())));
        }
        let news = leases.news(&mut renewed).await;
        let sizes: Vec<_> = news.iter().map(|news| news.release.len()).collect();
        assert_eq!(sizes, [TOGETHER, 1]);
        let longest = serde_json::to_vec(&news[0]).unwrap().len();
        assert!(longest < crate::peer::server::MAX_JSON, "{longest}");
    }
}
