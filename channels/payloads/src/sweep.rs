//! Finds payloads that no message refers to any more, and deletes them: what a crash left, or a delete that failed.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use towpath_event::PayloadId;

use crate::{PayloadStore, StoreError};

/// What a sweep deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Payloads.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Deletes what rests in `store` for at least `older_than` at the time `now`, is not in use in this process and is not
/// `claimed`, the ids to which messages refer.
///
/// `claimed` must be complete for what is that old: a message is published within `older_than` after its payload was
/// begun. A store shared with other processes needs their claims, too. An entry from the future is left alone.
///
/// # Errors
/// The first [`StoreError`] of a listing or a delete; what was deleted before that is gone.
pub async fn sweep(
    store: &dyn PayloadStore,
    claimed: &HashSet<PayloadId>,
    older_than: Duration,
    now: SystemTime,
) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    let mut listed = store.list();
    while let Some(entry) = listed.next().await {
        let entry = entry?;
        let age = now.duration_since(entry.written);
        let old = age.is_ok_and(|age| age >= older_than);
        if !old || claimed.contains(&entry.id) || store.in_use(entry.id) {
            continue;
        }
        store.delete(entry.id).await?;
        swept.objects += 1;
        swept.bytes += entry.bytes;
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use bytes::Bytes;
    use towpath_event::SetAside;

    use crate::{Budget, BudgetSettings, Draw, Life, MemoryStore, New};

    const MINUTE: Duration = Duration::from_secs(60);

    async fn stored(store: &MemoryStore, life: Life) -> Arc<dyn SetAside> {
        let new = New {
            namespace: &Arc::from("a"),
            draw: Draw::Door,
            length: Some(3),
            life,
            as_file: false,
        };
        let mut writer = store.create(new).await.unwrap();
        writer.write(Bytes::from_static(b"abc")).await.unwrap();
        writer.finish().await.unwrap()
    }

    #[tokio::test]
    async fn only_what_is_old_unclaimed_and_unused_goes() {
        let settings = BudgetSettings {
            total: "a",
            per_namespace: "b",
        };
        let store = MemoryStore::new(Budget::new(1000, 1000, settings), false);
        let claimed = stored(&store, Life::Kept).await.claim();
        let orphan = stored(&store, Life::Kept).await.claim();
        let in_use = stored(&store, Life::Kept).await;
        let held = stored(&store, Life::Held).await;
        let claims = HashSet::from([claimed.id]);
        let now = SystemTime::now();

        let young = sweep(&store, &claims, MINUTE, now).await.unwrap();
        assert_eq!(young, Swept::default());
        let early = now - 2 * MINUTE;
        let future = sweep(&store, &claims, Duration::ZERO, early).await.unwrap();
        assert_eq!(future, Swept::default());
        let later = now + 2 * MINUTE;
        let swept = sweep(&store, &claims, MINUTE, later).await.unwrap();
        assert_eq!(
            swept,
            Swept {
                objects: 1,
                bytes: 3
            }
        );
        store.find(&orphan).await.unwrap_err();
        for claim in [claimed, in_use.claim(), held.claim()] {
            store.find(&claim).await.unwrap();
        }
    }
}
