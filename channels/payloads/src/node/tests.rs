//! The bound on dirty bytes holds, and every byte of room comes back, however a payload ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tempfile::TempDir;
use towpath_event::SetAside;

use super::{Inner, NodeStore};
use crate::{Budget, BudgetSettings, Draw, Life, New, PayloadStore, Writer};

const MIB: usize = 1 << 20;
const BOUND: u64 = 4 << 20;

fn store() -> (TempDir, NodeStore) {
    store_of(BOUND)
}

fn store_of(bound: u64) -> (TempDir, NodeStore) {
    let dir = tempfile::tempdir().unwrap();
    let settings = BudgetSettings {
        total: "store.node.quota",
        per_namespace: "store.node.quotaPerNamespace",
    };
    let quota = Budget::new(1 << 30, 1 << 30, settings);
    let store = NodeStore::open(dir.path(), quota, bound, false).unwrap();
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
    assert_eq!(
        inner.tails.available_permits() as u64,
        inner.dirty.bound() / 4
    );
    assert!(inner.dirty.nothing_rests());
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

/// A held payload of `length` bytes that need not be in a file.
async fn resting(store: &NodeStore, length: usize, chunk: usize) -> Arc<dyn SetAside> {
    let new = New {
        namespace: &Arc::from("a"),
        draw: Draw::Door,
        length: Some(length as u64),
        life: Life::Held,
        as_file: false,
    };
    let store_it = async {
        let mut writer = store.create(new).await.unwrap();
        let mut whole = Bytes::from(vec![7; length]);
        while !whole.is_empty() {
            let next = whole.split_to(chunk.min(whole.len()));
            writer.write(next).await.unwrap();
        }
        writer.finish().await.unwrap()
    };
    let stored = tokio::time::timeout(Duration::from_secs(30), store_it).await;
    stored.expect("there is room sooner or later")
}

async fn read(payload: &Arc<dyn SetAside>) -> Vec<Bytes> {
    let mut reader = Arc::clone(payload).read(0..payload.size());
    let mut chunks = Vec::new();
    while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).await {
        chunks.push(chunk.unwrap());
    }
    chunks
}

/// Files that there are, of whole payloads and others.
fn files(dir: &TempDir, store: &NodeStore) -> usize {
    let folder = dir.path().join("in").join(&*store.store_ids()[0]);
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn what_nobody_needs_in_a_file_rests_in_memory() {
    let (dir, store) = store_of(32 << 20);
    let first = resting(&store, 10 * MIB, 256 << 10).await;
    let second = resting(&store, 10 * MIB, MIB).await;
    assert_eq!((first.file(), files(&dir, &store)), (None, 0));
    let (once, again) = (read(&first).await, read(&first).await);
    assert_eq!(once.len(), 40, "the chunks that came");
    let same = |(a, b): (&Bytes, &Bytes)| std::ptr::eq(a.as_ptr(), b.as_ptr());
    assert!(once.iter().zip(&again).all(same), "the very same bytes");
    assert_eq!(store.inner.dirty.in_use(), (20 << 20, 0));
    let third = resting(&store, 10 * MIB, MIB).await;
    assert_eq!(files(&dir, &store), 1, "there is no room for a third");
    let large = resting(&store, 13 * MIB, MIB).await;
    assert_eq!(files(&dir, &store), 2, "one does not take all of the room");
    drop((second, large, third, first));
    all_comes_back(&store.inner).await;
}

#[tokio::test]
async fn many_small_chunks_are_written() {
    let (dir, store) = store_of(32 << 20);
    let payload = resting(&store, MIB, 1 << 10).await;
    assert!(payload.file().is_some());
    assert_eq!(read(&payload).await.concat(), vec![7; MIB]);
    drop(payload);
    all_comes_back(&store.inner).await;
    assert_eq!(files(&dir, &store), 0);
}

#[tokio::test]
async fn what_rests_gets_a_file_when_one_is_needed() {
    let (dir, store) = store_of(32 << 20);
    let payload = resting(&store, 3 * MIB, MIB).await;
    let namespace = Arc::from("a");
    let shown = store.materialise(&payload, &namespace, Draw::Reply);
    let shown = shown.await.unwrap();
    assert_eq!(shown.claim(), payload.claim(), "no copy");
    let path = payload.file().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), vec![7; 3 * MIB]);
    assert_eq!(read(&payload).await.concat(), vec![7; 3 * MIB]);

    drop((payload, shown));

    let payload = resting(&store, 2 * MIB, MIB).await;
    let link = store.link(&payload.claim()).await.unwrap();
    drop(payload);
    assert_eq!(read(&link).await.concat(), vec![7; 2 * MIB]);
    store.delete(link.claim().id).await.unwrap();
    drop(link);
    all_comes_back(&store.inner).await;
    assert_eq!(files(&dir, &store), 0);
}

#[tokio::test]
async fn what_cannot_be_written_stays_in_memory_until_it_can() {
    let (dir, store) = store_of(32 << 20);
    let payload = resting(&store, 2 * MIB, MIB).await;
    let folder = dir.path().join("in").join(&*store.store_ids()[0]);
    let in_the_way = folder.join(format!(".{}", payload.claim().id));
    std::fs::write(&in_the_way, "").unwrap();
    let namespace = Arc::from("a");
    let refused = store.materialise(&payload, &namespace, Draw::Reply);
    refused.await.unwrap_err();
    assert_eq!(payload.file(), None);
    assert_eq!(read(&payload).await.concat(), vec![7; 2 * MIB]);
    std::fs::remove_file(in_the_way).unwrap();
    let shown = store.materialise(&payload, &namespace, Draw::Reply);
    assert_eq!(shown.await.unwrap().claim(), payload.claim(), "no copy");
    assert!(payload.file().is_some());
    assert_eq!(read(&payload).await.concat(), vec![7; 2 * MIB]);
    drop(payload);
    all_comes_back(&store.inner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_find_room_beside_what_rests() {
    let (_dir, store) = store_of(8 << 20);
    // Dirty pages first, less than half of the bound: nothing has them written back yet.
    let pages = resting(&store, 4 * MIB, MIB).await;
    let rests = [
        resting(&store, 3 * MIB, MIB).await,
        resting(&store, 3 * MIB, MIB).await,
    ];
    let large = resting(&store, 20 * MIB, MIB).await;
    assert_eq!(rests.each_ref().map(|payload| payload.file()), [None, None]);
    drop((pages, rests, large));
    all_comes_back(&store.inner).await;
}

#[tokio::test]
async fn what_rests_and_breaks_off_leaves_nothing() {
    let (dir, store) = store_of(32 << 20);
    for written in 0..4 {
        let new = New {
            namespace: &Arc::from("a"),
            draw: Draw::Door,
            length: Some(4 << 20),
            life: Life::Held,
            as_file: false,
        };
        let mut writer = store.create(new).await.unwrap();
        for _ in 0..written {
            writer.write(Bytes::from(vec![7; MIB])).await.unwrap();
        }
        drop(writer);
    }
    all_comes_back(&store.inner).await;
    assert_eq!(files(&dir, &store), 0);
}
