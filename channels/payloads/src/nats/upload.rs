//! One payload on its way to the stream: chunks, several of them unacknowledged at once, and at the end its record.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join};
use tokio::sync::{RwLock, SetOnce};
use towpath_event::{Digest, PayloadId};

use super::bucket::{Bucket, OVERHEAD, Room, unavailable};
use super::record::{Record, Role};
use crate::StoreError;
use crate::remote::{Part, Upload};

/// The upload of one payload.
pub(super) struct NatsUpload {
    bucket: Arc<Bucket>,
    id: PayloadId,
    chunk: u64,
    room: Arc<Room>,
    /// Set when the first chunk is acknowledged. The others wait for that, so that a full stream is found out by one
    /// message.
    first: Arc<SetOnce<()>>,
    /// Shared by every message that is on its way.
    under_way: Arc<RwLock<()>>,
}

impl NatsUpload {
    pub(super) fn new(bucket: Arc<Bucket>, id: PayloadId, chunk: u64, room: Room) -> Self {
        Self {
            bucket,
            id,
            chunk,
            room: Arc::new(room),
            first: Arc::default(),
            under_way: Arc::default(),
        }
    }

    /// Stores one message. It is seen to its end also when nobody waits for it any more: the server takes messages and
    /// purges by different ways, so that one purges only what is known to be there.
    fn message(&self, role: Role, bytes: Bytes) -> BoxFuture<'static, Result<(), StoreError>> {
        let (bucket, under_way) = (Arc::clone(&self.bucket), Arc::clone(&self.under_way));
        let subject = bucket.subjects.of(self.id, role);
        Box::pin(async move {
            let shared = under_way.read_owned().await;
            let stored = tokio::spawn(async move {
                let _shared = shared;
                bucket.publish(subject, bytes).await
            });
            stored
                .await
                .unwrap_or_else(|error| Err(unavailable(&error)))
        })
    }

    fn chunk(&self, part: Part) -> BoxFuture<'static, Result<(), StoreError>> {
        let (first, room) = (Arc::clone(&self.first), Arc::clone(&self.room));
        let number = part.number as u64;
        let bytes = joined(part.bytes);
        let length = bytes.len() as u64;
        let message = self.message(Role::Chunk(number), bytes);
        Box::pin(async move {
            if length == 0 {
                return Ok(());
            }
            if number > 0 {
                first.wait().await;
            }
            message.await?;
            room.taken(length + OVERHEAD);
            if number == 0 {
                // nobody else sets it
                let _ = first.set(());
            }
            Ok(())
        })
    }
}

/// One piece of memory, as a message wants it.
fn joined(mut bytes: Vec<Bytes>) -> Bytes {
    match bytes.len() {
        1 => bytes.pop().unwrap_or_default(),
        _ => bytes.concat().into(),
    }
}

impl Upload for NatsUpload {
    fn part(&mut self, part: Part) -> BoxFuture<'static, Result<(), StoreError>> {
        self.chunk(part)
    }

    fn complete(
        &mut self,
        last: Part,
        size: u64,
        digest: Option<Digest>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let last = self.chunk(last);
        let record = Record::new(size, digest, self.chunk, self.id);
        Box::pin(async move {
            let text = record.to_text().map_err(|error| unavailable(&error))?;
            // a record without the last chunk is no harm: nobody has its claim before both are acknowledged
            let record = self.message(Role::Record, text.into());
            try_join(last, record).await.map(drop)
        })
    }

    fn abort(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let _none = self.under_way.write().await;
            let purged = self
                .bucket
                .purge(self.bucket.subjects.all_of(self.id))
                .await;
            if let Err(error) = purged {
                tracing::warn!(id = %self.id, %error, "a broken payload is left to the sweep");
            }
        })
    }
}
