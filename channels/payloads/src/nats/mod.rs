//! Payloads as chunks in a JetStream stream: `<bucket>.<store id>.<payload id>.c.<number>`, and a record of each.

mod bucket;
mod listing;
mod record;
mod settings;
mod upload;

pub use settings::NatsSettings;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use towpath_event::{ClaimCheck, PayloadId, Place, ReadError, SetAside};

use crate::memory::part;
use crate::remote::{Behind, RemotePayload, RemoteWriter, Rests, Uploading};
use crate::{
    Budget, Listed, New, OpenError, PayloadStore, StoreError, Tier, Usage, Writer, new_id,
};
use bucket::{Bucket, OVERHEAD, unavailable};
use record::{Record, Role};
use upload::NatsUpload;

/// Chunks that are asked for before the reader wants them.
const AHEAD: usize = 4;
/// What a message may have besides its bytes.
const HEADROOM: usize = 1 << 10;

/// The nats store. Payloads are complete before anybody can read them, and survive this process.
#[derive(Debug)]
pub struct NatsStore {
    bucket: Arc<Bucket>,
    behind: Behind,
    budget: Budget,
    chunk_bytes: usize,
    acks_in_flight: usize,
    digest: bool,
}

impl NatsStore {
    /// Opens the store and begins to connect; the server need not be there yet. `store_id` sets the payloads of this
    /// installation apart from those of others in the bucket: 1 to 64 letters, digits, `-` and `_`, the same for all
    /// its gateways. The memory of chunks on their way is taken from `budget`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        settings: &NatsSettings,
        store_id: &str,
        budget: Budget,
    ) -> Result<Self, OpenError> {
        let bucket = Arc::new(Bucket::open(settings, store_id).await?);
        let account = Arc::clone(&bucket.account);
        Ok(Self {
            behind: Behind::start(Arc::clone(&bucket) as Arc<dyn Rests>, account),
            bucket,
            budget,
            chunk_bytes: settings.chunk_bytes,
            acks_in_flight: settings.acks_in_flight,
            digest: settings.digest,
        })
    }

    /// Sees that the stream is there and as it should be, and makes it if it is missing. Whatever else is asked of the
    /// store does that first; at a start it tells early what is wrong.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn check(&self) -> Result<(), StoreError> {
        self.bucket.stream().await.map(drop)
    }

    fn found(&self, claim: &ClaimCheck) -> Arc<dyn SetAside> {
        RemotePayload::found(claim, &self.behind)
    }
}

impl PayloadStore for NatsStore {
    fn tier(&self) -> Tier {
        Tier::Nats
    }

    fn holds(&self, place: &Place) -> bool {
        *place == self.bucket.place()
    }

    fn create<'a>(&'a self, new: New<'a>) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>> {
        Box::pin(async move {
            // known only when there is a connection
            self.check().await?;
            let most = self.bucket.client.max_payload().saturating_sub(HEADROOM);
            let chunk = self.chunk_bytes.min(most);
            if chunk == 0 {
                let text = "the server's max_payload leaves no room for a chunk: raise it";
                return Err(unavailable(&text));
            }
            let memory = (self.acks_in_flight as u64).saturating_add(1);
            let memory = memory.saturating_mul(chunk as u64);
            let memory = new.length.map_or(memory, |length| length.min(memory));
            let lease = self.budget.take(new.namespace, new.draw, memory)?;
            let messages = |length: u64| length.div_ceil(chunk as u64).saturating_add(1);
            let takes =
                |length: u64| length.saturating_add(messages(length).saturating_mul(OVERHEAD));
            let room = self
                .bucket
                .room(new.length.map_or(0, takes), new.draw)
                .await?;
            let id = new_id();
            let uploading = Uploading {
                tier: Tier::Nats,
                payload: RemotePayload::growing(id, new.length, new.life, &self.behind),
                digest: self.digest,
                part_bytes: chunk,
                in_flight: self.acks_in_flight,
                lease,
            };
            let upload = NatsUpload::new(Arc::clone(&self.bucket), id, chunk as u64, room);
            Ok(RemoteWriter::begin(uploading, upload))
        })
    }

    fn find<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move {
            self.bucket.claimed(claim).await?;
            Ok(self.found(claim))
        })
    }

    fn link<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move {
            let (record, bytes) = self.bucket.claimed(claim).await?;
            let id = new_id();
            self.bucket.link(claim, &record, bytes, id).await?;
            self.bucket.account.takes(id, claim.size);
            let second = ClaimCheck {
                id,
                ..claim.clone()
            };
            Ok(self.found(&second))
        })
    }

    fn delete(&self, id: PayloadId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.bucket.delete(id))
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StoreError>> {
        listing::list(&self.bucket)
    }

    fn in_use(&self, id: PayloadId) -> bool {
        self.bucket.account.in_use(id)
    }

    fn usage(&self) -> Usage {
        self.bucket.account.usage()
    }
}

impl Bucket {
    /// What holds a payload's chunks for it: its own record, or its link to those of another.
    fn hold(&self, id: PayloadId, bytes: PayloadId) -> String {
        let role = if id == bytes {
            Role::Record
        } else {
            Role::Link(id)
        };
        self.subjects.of(bytes, role)
    }

    /// Makes a payload of another one's chunks. Its record comes before the link that holds the chunks: whatever is left
    /// when this breaks off in between is listed, and goes when its id is deleted.
    async fn link(
        &self,
        claim: &ClaimCheck,
        record: &Record,
        bytes: PayloadId,
        id: PayloadId,
    ) -> Result<(), StoreError> {
        let text = Record::new(record.size, claim.digest, record.chunk, bytes).to_text();
        let text = text.map_err(|error| unavailable(&error))?;
        let own = self.subjects.of(id, Role::Record);
        self.publish(own, text.into()).await?;
        self.publish(self.hold(id, bytes), Bytes::new()).await?;
        // a deletion lets go and then looks for others; we hold and then look for the first: one of the two sees the other
        let first = self.get_from_leader(&self.hold(claim.id, bytes)).await?;
        if first.is_some() {
            return Ok(());
        }
        // the deletion may have seen our link, and left the chunks to us
        self.delete(id).await?;
        Err(ReadError::Missing(claim.to_string().into()).into())
    }

    /// Deletes a payload, and its chunks with the last payload that has them. What holds the chunks goes first, and the
    /// record of a link last: what is left when this breaks off is listed, and goes when it is deleted again.
    async fn delete(&self, id: PayloadId) -> Result<(), StoreError> {
        let bytes = match self.record(id).await {
            Ok(Some((_, bytes, _))) => bytes,
            // of one that cannot be read, or is not complete, only its own is known
            Ok(None) | Err(StoreError::Read(_)) => id,
            Err(error) => return Err(error),
        };
        self.purge(self.hold(id, bytes)).await?;
        let mut links = self.subjects(self.subjects.links_to(bytes)).await?;
        let linked = match links.next().await {
            None => false,
            Some(Ok(_)) => true,
            Some(Err(error)) => return Err(unavailable(&bucket::chain(&error))),
        };
        let first = self.subjects.of(bytes, Role::Record);
        if !linked && (bytes == id || self.get_from_leader(&first).await?.is_none()) {
            self.purge(self.subjects.all_of(bytes)).await?;
        }
        if bytes != id {
            self.purge(self.subjects.of(id, Role::Record)).await?;
        }
        self.account.gone(id);
        Ok(())
    }

    async fn read(
        self: Arc<Self>,
        claim: ClaimCheck,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, ReadError>>, ReadError> {
        let (record, bytes) = self.claimed(&claim).await.map_err(read_error)?;
        let chunk = record.chunk.max(1);
        let numbers = range.start / chunk..range.end.div_ceil(chunk);
        let chunks = stream::iter(numbers).map(move |number| {
            let (bucket, claim, range) = (Arc::clone(&self), claim.clone(), range.clone());
            async move {
                let subject = bucket.subjects.of(bytes, Role::Chunk(number));
                match bucket.get(&subject).await.map_err(read_error)? {
                    Some(message) => {
                        let begins = number.saturating_mul(chunk);
                        Ok(part(&message.payload, begins, &range).unwrap_or_default())
                    }
                    None => {
                        let text = format!("chunk {number} of {claim}");
                        Err(ReadError::Missing(text.into()))
                    }
                }
            }
        });
        Ok(chunks.buffered(AHEAD).boxed())
    }
}

impl Rests for Bucket {
    fn place(&self) -> Place {
        Place::Nats(Arc::clone(&self.name))
    }

    fn open(
        self: Arc<Self>,
        claim: ClaimCheck,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, ReadError>> {
        Box::pin(stream::once(self.read(claim, range)).try_flatten())
    }

    fn erase(self: Arc<Self>, id: PayloadId) -> BoxFuture<'static, Result<(), StoreError>> {
        Box::pin(async move { self.delete(id).await })
    }
}

fn read_error(error: StoreError) -> ReadError {
    match error {
        StoreError::Read(error) => error,
        other => ReadError::Store(other.to_string().into()),
    }
}
