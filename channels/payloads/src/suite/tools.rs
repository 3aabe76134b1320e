//! What the suite works with: payloads of known bytes, a deadline on everything, entries by id.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::poll_fn;
use towpath_event::{PayloadId, Read, ReadError, SetAside};

use crate::{Draw, Life, Listed, New, PayloadStore};

/// How long the suite waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it did not happen within the deadline")
}

/// Waits until `holds`. Each look goes to the store, which paces it.
pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let came = tokio::time::timeout(DEADLINE, async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    });
    assert!(came.await.is_ok(), "never: {what}");
}

/// Bytes that tell where they are from: no two stretches of them are alike.
pub(super) fn bytes(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let mut made = Vec::with_capacity(len + 4);
    while made.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        made.extend_from_slice(&(state ^ state >> 15).to_le_bytes());
    }
    made.truncate(len);
    made.into()
}

pub(super) fn cut(whole: &Bytes, piece: usize) -> Vec<Bytes> {
    (0..whole.len())
        .step_by(piece)
        .map(|at| whole.slice(at..whole.len().min(at + piece)))
        .collect()
}

pub(super) fn ns() -> Arc<str> {
    Arc::from("suite")
}

pub(super) fn new(namespace: &Arc<str>, length: Option<usize>, life: Life) -> New<'_> {
    New {
        namespace,
        draw: Draw::Door,
        length: length.map(|length| length as u64),
        life,
        as_file: false,
    }
}

/// A complete payload of announced length, in pieces.
pub(super) async fn stored(
    store: &dyn PayloadStore,
    whole: &Bytes,
    piece: usize,
    life: Life,
) -> Arc<dyn SetAside> {
    write(store, new(&ns(), Some(whole.len()), life), whole, piece).await
}

pub(super) async fn write(
    store: &dyn PayloadStore,
    new: New<'_>,
    whole: &Bytes,
    piece: usize,
) -> Arc<dyn SetAside> {
    let mut writer = within(store.create(new)).await.unwrap();
    for piece in cut(whole, piece) {
        within(writer.write(piece)).await.unwrap();
    }
    within(writer.finish()).await.unwrap()
}

pub(super) async fn next(reader: &mut dyn Read) -> Option<Result<Bytes, ReadError>> {
    within(poll_fn(|cx| reader.poll_chunk(cx))).await
}

pub(super) async fn read(payload: &Arc<dyn SetAside>) -> Result<Vec<u8>, ReadError> {
    let size = usize::try_from(payload.size()).unwrap();
    read_range(payload, 0..size).await
}

pub(super) async fn read_range(
    payload: &Arc<dyn SetAside>,
    range: Range<usize>,
) -> Result<Vec<u8>, ReadError> {
    let mut reader = Arc::clone(payload).read(range.start as u64..range.end as u64);
    let mut came = Vec::with_capacity(range.len());
    while let Some(chunk) = next(&mut *reader).await {
        let chunk = chunk?;
        assert!(!chunk.is_empty(), "an empty chunk");
        came.extend_from_slice(&chunk);
    }
    Ok(came)
}

pub(super) async fn entry(store: &dyn PayloadStore, id: PayloadId) -> Option<Listed> {
    let entries: Vec<_> = within(store.list().collect()).await;
    let mut entries = entries.into_iter().map(Result::unwrap);
    entries.find(|entry| entry.id == id)
}

pub(super) async fn listed(store: &dyn PayloadStore, id: PayloadId) -> bool {
    entry(store, id).await.is_some()
}
