//! The bound on dirty bytes holds, and every byte of room comes back, however a payload ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tempfile::TempDir;

use super::{Inner, NodeStore};
use crate::{Budget, BudgetSettings, Draw, Life, New, PayloadStore, Writer};

const MIB: usize = 1 << 20;
const BOUND: u64 = 4 << 20;

fn store() -> (TempDir, NodeStore) {
    let dir = tempfile::tempdir().unwrap();
    let settings = BudgetSettings {
        total: "store.node.quota",
        per_namespace: "store.node.quotaPerNamespace",
    };
    let quota = Budget::new(1 << 30, 1 << 30, settings);
    let store = NodeStore::open(dir.path(), quota, BOUND, false).unwrap();
    (dir, store)
}

async fn begin(store: &NodeStore, life: Life) -> Box<dyn Writer> {
    let new = New {
        namespace: &Arc::from("a"),
        draw: Draw::Door,
        length: Some(64 << 20),
        life,
        as_file: true,
    };
    store.create(new).await.unwrap()
}

fn piece() -> Bytes {
    Bytes::from(vec![7; 300 * 1024])
}

/// Waits for what the keeper does.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let came = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    assert!(came.await.is_ok(), "never: {what}");
}

async fn all_comes_back(inner: &Inner) {
    let back = || inner.dirty.in_use() == (0, 0) && inner.budget.used() == 0;
    eventually("all room comes back", back).await;
    assert_eq!(inner.tails.available_permits() as u64, BOUND / 4);
    assert_eq!(inner.table.usage().objects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_dirty_than_may_be_and_much_less_at_rest() {
    let (_dir, store) = store();
    let inner = &store.inner;
    for life in [Life::Held, Life::Kept] {
        let mut writers = [begin(&store, life).await, begin(&store, life).await];
        let mut left = 64 * MIB;
        while left > 0 {
            let next = piece().split_to(left.min(300 * 1024));
            left -= next.len();
            for writer in &mut writers {
                writer.write(next.clone()).await.unwrap();
                let (taken, dirty) = inner.dirty.in_use();
                assert!(dirty <= taken && taken <= BOUND, "{dirty} of {taken}");
            }
        }
        let mut ids = Vec::new();
        for writer in writers {
            let payload = writer.finish().await.unwrap();
            ids.push(payload.claim().id);
        }
        let may_be = match life {
            Life::Held => BOUND / 2,
            Life::Kept => 0,
        };
        eventually("little is dirty at rest", || {
            inner.dirty.in_use().1 <= may_be
        })
        .await;
        for id in ids {
            store.delete(id).await.unwrap();
        }
        all_comes_back(inner).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_comes_back_when_writers_give_up_at_any_point() {
    let (_dir, store) = store();
    for round in 0..40 {
        let mut writer = begin(&store, Life::Held).await;
        let mut reader = Arc::clone(writer.payload()).read(0..64 << 20);
        for _ in 0..round {
            writer.write(piece()).await.unwrap();
        }
        // Given up in the middle of a write, or of the end.
        let given_up = writer.write(Bytes::from(vec![7; 5 * MIB])).now_or_never();
        assert!(given_up.is_none(), "more than there is room for");
        if round % 2 == 0 {
            drop(writer);
        } else {
            drop(writer.finish().now_or_never());
        }
        while let Some(Ok(_)) = poll_fn(|cx| reader.poll_chunk(cx)).await {}
        drop(reader);
    }
    all_comes_back(&store.inner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_a_payload_may_be_given_up() {
    let (dir, store) = store();
    for _ in 0..40 {
        let new = New {
            namespace: &Arc::from("a"),
            draw: Draw::Door,
            length: Some(300 * 1024),
            life: Life::Held,
            as_file: true,
        };
        let mut writer = store.create(new).await.unwrap();
        writer.write(piece()).await.unwrap();
        drop(writer.finish().now_or_never());
    }
    all_comes_back(&store.inner).await;
    let folder = dir.path().join("in").join(&*store.store_ids()[0]);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}
