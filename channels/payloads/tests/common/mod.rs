//! What the tests of the node store share.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use towpath_event::{ReadError, SetAside};
use towpath_payloads::{Budget, BudgetSettings, Draw, Life, New, NodeStore, PayloadStore};

pub(crate) fn quota(bytes: u64) -> Budget {
    let settings = BudgetSettings {
        total: "store.node.quota",
        per_namespace: "store.node.quotaPerNamespace",
    };
    Budget::new(bytes, bytes, settings)
}

/// A node store with room for `bytes`, and for 8 MiB of dirty ones.
pub(crate) fn node(dir: &Path, bytes: u64) -> NodeStore {
    NodeStore::open(dir, quota(bytes), 8 << 20, false).unwrap()
}

pub(crate) fn ns() -> Arc<str> {
    Arc::from("test")
}

pub(crate) fn new(namespace: &Arc<str>, length: u64, draw: Draw, life: Life) -> New<'_> {
    New {
        namespace,
        draw,
        length: Some(length),
        life,
        as_file: true,
    }
}

pub(crate) fn bytes(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(&mut next).take(len).collect()
}

pub(crate) async fn stored(store: &NodeStore, whole: &Bytes, life: Life) -> Arc<dyn SetAside> {
    let namespace = ns();
    let new = new(&namespace, whole.len() as u64, Draw::Door, life);
    let mut writer = store.create(new).await.unwrap();
    writer.write(whole.clone()).await.unwrap();
    writer.finish().await.unwrap()
}

pub(crate) async fn read(payload: &Arc<dyn SetAside>) -> Result<Vec<u8>, ReadError> {
    let mut reader = Arc::clone(payload).read(0..payload.size());
    let mut came = Vec::new();
    while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).await {
        came.extend_from_slice(&chunk?);
    }
    Ok(came)
}

/// Files beneath `in/`.
pub(crate) fn files(dir: &Path) -> usize {
    let stores = fs::read_dir(dir.join("in")).unwrap();
    let payloads = stores.flat_map(|store| fs::read_dir(store.unwrap().path()).unwrap());
    payloads.count()
}

/// Drops a store and waits until nobody has it: a thread may still be at its last write.
pub(crate) async fn close(dir: &Path, store: NodeStore) {
    let locks: Vec<_> = store
        .store_ids()
        .iter()
        .map(|id| fs::File::open(dir.join("stores").join(&**id).join("lock")).unwrap())
        .collect();
    drop(store);
    for lock in locks {
        eventually("it is free", || lock.try_lock().is_ok()).await;
    }
}

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let came = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    assert!(came.await.is_ok(), "never: {what}");
}
