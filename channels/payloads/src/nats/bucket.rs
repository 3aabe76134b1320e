//! The stream behind the nats store: the connection, and every question that is asked of the server.

use std::error::Error as _;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_nats::Client;
use async_nats::jetstream::context::{
    Context, ContextBuilder, GetStreamErrorKind, PublishError, PublishErrorKind,
};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{
    Config, DirectGetErrorKind, InfoWithSubjects, LastRawMessageErrorKind, Stream,
};
use async_nats::jetstream::{Error, ErrorCode};
use bytes::Bytes;
use tokio::sync::Mutex;
use towpath_event::{ClaimCheck, PayloadId, ReadError};

use super::record::{Record, Role, Subjects};
use super::settings::{NatsSettings, limited, unfit};
use crate::remote::Account;
use crate::{Draw, Full, OpenError, StoreError, Tier};

/// The setting that bounds the stream.
const MAX_BYTES: &str = "store.nats.maxBytes";
/// Tries of what can be asked twice, each with its part of the patience.
const TRIES: u32 = 2;
/// What the server counts for a message besides its bytes, and more than that.
pub(super) const OVERHEAD: u64 = 200;

/// The bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) client: Client,
    context: Context,
    /// How the stream is to be.
    config: Config,
    /// The stream, once it was seen to be fit.
    stream: Mutex<Option<Stream>>,
    pub(super) name: Arc<str>,
    pub(super) subjects: Subjects,
    pub(super) account: Arc<Account>,
    /// Bytes that payloads under way will still take.
    expected: Arc<AtomicU64>,
}

/// Room for the rest of a payload under way. Dropping it gives that back.
#[derive(Debug)]
pub(super) struct Room {
    expected: Arc<AtomicU64>,
    bytes: AtomicU64,
}

impl Bucket {
    pub(super) async fn open(settings: &NatsSettings, store_id: &str) -> Result<Self, OpenError> {
        settings.check(store_id)?;
        let servers: Vec<&str> = settings.url.split(',').map(str::trim).collect();
        let client = settings.connection().await?.connect(servers).await;
        let client = client.map_err(|error| OpenError::Client(chain(&error)))?;
        let context = ContextBuilder::new()
            .timeout(settings.patience / TRIES)
            .ack_timeout(settings.patience / TRIES)
            .build(client.clone());
        Ok(Self {
            client,
            context,
            config: settings.stream(),
            stream: Mutex::default(),
            name: settings.bucket.as_str().into(),
            subjects: Subjects::new(&settings.bucket, store_id),
            account: Arc::default(),
            expected: Arc::default(),
        })
    }

    /// The stream: found and fit, or made.
    pub(super) async fn stream(&self) -> Result<Stream, StoreError> {
        let mut known = self.stream.lock().await;
        if let Some(stream) = &*known {
            return Ok(stream.clone());
        }
        let found = match self.context.get_stream(&self.config.name).await {
            Ok(stream) => stream,
            Err(error) if is_no_stream(&error.kind()) => {
                let made = self.context.create_stream(self.config.clone()).await;
                made.map_err(|error| unavailable(&chain(&error)))?
            }
            Err(error) => return Err(unavailable(&chain(&error))),
        };
        let is = &found.cached_info().config;
        if let Some(why) = unfit(is, &self.config) {
            let text = format!("{why}: delete it, or name another in store.nats.bucket");
            return Err(unavailable(&text));
        }
        if let Some(config) = limited(is, &self.config) {
            let updated = self.context.update_stream(&config).await;
            updated.map_err(|error| unavailable(&chain(&error)))?;
        }
        Ok(known.insert(found).clone())
    }

    /// Stores one message. It may be stored twice, which is once.
    pub(super) async fn publish(&self, subject: String, bytes: Bytes) -> Result<(), StoreError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let message = PublishMessage::build().payload(bytes.clone());
            let sent = self.context.send_publish(subject.clone(), message).await;
            let error = match sent {
                Ok(ack) => match ack.await {
                    Ok(_) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match error.kind() {
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe if tries > 0 => {}
                _ => return Err(self.refused(&error, bytes.len() as u64).await),
            }
        }
    }

    async fn refused(&self, error: &PublishError, asked: u64) -> StoreError {
        let source = error.source().and_then(|source| source.downcast_ref());
        let code = source.map(Error::error_code);
        match code {
            Some(ErrorCode::STREAM_STORE_FAILED) => match self.usage().await {
                Ok((used, limit)) if limit > 0 => full(asked, used, limit),
                Ok(_) | Err(_) => unavailable(&chain(error)),
            },
            _ => {
                if error.kind() == PublishErrorKind::StreamNotFound {
                    // somebody deleted it: whoever comes next makes it again
                    *self.stream.lock().await = None;
                }
                unavailable(&chain(error))
            }
        }
    }

    /// Bytes in the stream, and their bound; 0 is none.
    async fn usage(&self) -> Result<(u64, u64), StoreError> {
        let info = self.stream().await?.get_info().await;
        let info = info.map_err(|error| unavailable(&chain(&error)))?;
        let limit = u64::try_from(info.config.max_bytes).unwrap_or_default();
        Ok((info.state.bytes, limit))
    }

    /// Makes room for a payload that will take `bytes` in the stream. Events from outside leave a quarter of it to
    /// replies, as everywhere.
    pub(super) async fn room(&self, bytes: u64, draw: Draw) -> Result<Room, StoreError> {
        let (used, limit) = match self.config.max_bytes {
            ..=0 => (0, 0),
            1.. => self.usage().await?,
        };
        let limit = match draw {
            Draw::Door => limit - limit / 4,
            Draw::Reply => limit,
        };
        let before = self.expected.fetch_add(bytes, Ordering::Relaxed);
        let room = Room {
            expected: Arc::clone(&self.expected),
            bytes: AtomicU64::new(bytes),
        };
        let sum = used.saturating_add(before);
        if limit > 0 && sum.saturating_add(bytes.max(1)) > limit {
            return Err(full(bytes, sum, limit));
        }
        Ok(room)
    }

    /// The newest message of a subject; `None` if there is none.
    pub(super) async fn get(&self, subject: &str) -> Result<Option<StreamMessage>, StoreError> {
        let stream = self.stream().await?;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let got = stream.direct_get_last_for_subject(subject).await;
            match got.map_err(|error| (error.kind(), error)) {
                Ok(message) => return Ok(Some(message)),
                // a replica may not have heard of it yet: the leader has
                Err((DirectGetErrorKind::NotFound, _)) => {
                    return self.get_from_leader(subject).await;
                }
                Err((_, error)) if tries == 0 => return Err(unavailable(&chain(&error))),
                Err(_) => {}
            }
        }
    }

    pub(super) async fn get_from_leader(
        &self,
        subject: &str,
    ) -> Result<Option<StreamMessage>, StoreError> {
        let stream = self.stream().await?;
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(unavailable(&chain(&error))),
        }
    }

    /// The record of a payload, where its bytes are, and when it was stored; `None` if it is not there, or not complete.
    pub(super) async fn record(
        &self,
        id: PayloadId,
    ) -> Result<Option<(Record, PayloadId, SystemTime)>, StoreError> {
        let Some(message) = self.get(&self.subjects.of(id, Role::Record)).await? else {
            return Ok(None);
        };
        let (record, bytes) = Record::parse(&message.payload).map_err(|error| {
            let text = format!("the record of {id} cannot be read: {error}");
            StoreError::Read(ReadError::Damaged(text.into()))
        })?;
        Ok(Some((record, bytes, message.time.into())))
    }

    /// The record of a claim check, and where its bytes are.
    pub(super) async fn claimed(
        &self,
        claim: &ClaimCheck,
    ) -> Result<(Record, PayloadId), StoreError> {
        let Some((record, bytes, _)) = self.record(claim.id).await? else {
            return Err(ReadError::Missing(claim.to_string().into()).into());
        };
        if record.size != claim.size {
            let text = format!("{claim} has {} bytes", record.size);
            return Err(ReadError::Damaged(text.into()).into());
        }
        Ok((record, bytes))
    }

    /// The subjects that a filter matches, with the number of messages of each.
    pub(super) async fn subjects(&self, filter: String) -> Result<InfoWithSubjects, StoreError> {
        let subjects = self.stream().await?.info_with_subjects(filter).await;
        subjects.map_err(|error| unavailable(&chain(&error)))
    }

    pub(super) async fn purge(&self, filter: String) -> Result<(), StoreError> {
        let purged = self.stream().await?.purge().filter(filter).await;
        purged
            .map(drop)
            .map_err(|error| unavailable(&chain(&error)))
    }
}

impl Room {
    /// So many of the bytes are in the stream now.
    pub(super) fn taken(&self, bytes: u64) {
        let take = |left: u64| Some(left.saturating_sub(bytes));
        let before = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .unwrap_or_default();
        self.expected
            .fetch_sub(before.min(bytes), Ordering::Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let left = self.bytes.load(Ordering::Relaxed);
        self.expected.fetch_sub(left, Ordering::Relaxed);
    }
}

fn is_no_stream(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn full(asked: u64, used: u64, limit: u64) -> StoreError {
    StoreError::Full(Full {
        asked,
        used,
        limit,
        setting: MAX_BYTES,
    })
}

pub(super) fn unavailable(error: &dyn Display) -> StoreError {
    StoreError::Unavailable {
        tier: Tier::Nats,
        reason: error.to_string().into(),
    }
}

/// An error with its causes: the client's own texts leave them out.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> Box<str> {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.into()
}
