//! What rests in the stream: each complete payload, and what was left of broken ones.

use std::collections::BTreeMap;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use towpath_event::PayloadId;

use super::bucket::{Bucket, chain, unavailable};
use super::record::Role;
use crate::{Listed, StoreError};

/// Records that are asked for at once.
const AT_ONCE: usize = 16;

/// What the subjects say of one payload.
#[derive(Debug, Default)]
struct Seen {
    record: bool,
    /// Other payloads have their bytes here.
    linked: bool,
    chunks: u64,
    /// Any of its chunks.
    chunk: u64,
}

/// Lists the bucket. First all its subjects are asked for, at 100,000 an answer; only what they say of each payload is
/// held, some 50 bytes.
pub(super) fn list(bucket: &Bucket) -> BoxStream<'_, Result<Listed, StoreError>> {
    let listed = async move {
        let mut unseen = bucket.account.unseen();
        let mut seen: BTreeMap<PayloadId, Seen> = BTreeMap::new();
        let mut subjects = bucket.subjects(bucket.subjects.all()).await?;
        while let Some(subject) = subjects.next().await {
            let (subject, _) = subject.map_err(|error| unavailable(&chain(&error)))?;
            let Some((id, role)) = bucket.subjects.parse(&subject) else {
                continue;
            };
            let seen = seen.entry(id).or_default();
            match role {
                Role::Record => seen.record = true,
                Role::Link(_) => seen.linked = true,
                Role::Chunk(number) => {
                    seen.chunks += 1;
                    seen.chunk = number;
                }
            }
        }
        // chunks that only links hold are no payload
        seen.retain(|_, seen| seen.record || !seen.linked);
        seen.keys().for_each(|id| unseen.seen(*id));
        bucket.account.listed(&unseen);
        let entries = stream::iter(seen).map(move |(id, seen)| entry(bucket, id, seen));
        // what has gone meanwhile is left out
        Ok::<_, StoreError>(
            entries
                .buffered(AT_ONCE)
                .try_filter_map(|entry| std::future::ready(Ok(entry))),
        )
    };
    Box::pin(stream::once(listed).try_flatten())
}

async fn entry(bucket: &Bucket, id: PayloadId, seen: Seen) -> Result<Option<Listed>, StoreError> {
    if seen.record {
        match bucket.record(id).await {
            Ok(record) => {
                return Ok(record.map(|(record, _, written)| Listed {
                    id,
                    bytes: record.size,
                    written,
                }));
            }
            // what cannot be read is what was left of something
            Err(StoreError::Read(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let role = if seen.chunks > 0 {
        Role::Chunk(seen.chunk)
    } else {
        Role::Record
    };
    let message = bucket.get(&bucket.subjects.of(id, role)).await?;
    Ok(message.map(|message| Listed {
        id,
        bytes: seen.chunks * message.payload.len() as u64,
        written: message.time.into(),
    }))
}
