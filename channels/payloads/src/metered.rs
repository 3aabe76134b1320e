//! Payloads, writers and readers that count: they wrap those of a store and change nothing else.

use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use towpath_event::{ClaimCheck, Progress, Read, ReadError, SetAside};

use crate::metrics::TierMetrics;
use crate::{PayloadMetrics, StoreError, Tier, Writer};

impl PayloadMetrics {
    /// `payload`, which rests in a store of this tier, with its reads counted. [`Stores`](crate::Stores) does that for
    /// what it gives out; this is for what comes from a store directly.
    #[must_use]
    pub fn payload(&self, tier: Tier, payload: Arc<dyn SetAside>) -> Arc<dyn SetAside> {
        match self.tier(tier) {
            Some(metrics) => Arc::new(Metered {
                payload,
                metrics: metrics.clone(),
            }),
            None => payload,
        }
    }

    /// `payload`, which came into a store of this tier without being written to it: its bytes are counted now, its reads
    /// as they are made.
    pub(crate) fn adopted(&self, tier: Tier, payload: Arc<dyn SetAside>) -> Arc<dyn SetAside> {
        if let Some(metrics) = self.tier(tier) {
            metrics.bytes_in.inc_by(payload.size());
        }
        self.payload(tier, payload)
    }

    /// `writer` to a store of this tier, with its bytes and the reads of its payload counted.
    pub(crate) fn writer(&self, tier: Tier, writer: Box<dyn Writer>) -> Box<dyn Writer> {
        match self.tier(tier) {
            Some(metrics) => Box::new(MeteredWriter {
                payload: self.payload(tier, Arc::clone(writer.payload())),
                writer,
                metrics: metrics.clone(),
            }),
            None => writer,
        }
    }
}

struct Metered {
    payload: Arc<dyn SetAside>,
    metrics: TierMetrics,
}

struct MeteredWriter {
    writer: Box<dyn Writer>,
    payload: Arc<dyn SetAside>,
    metrics: TierMetrics,
}

struct MeteredReader {
    reader: Box<dyn Read>,
    metrics: TierMetrics,
    first: First,
}

/// The first byte of what is read.
enum First {
    /// Nobody asked for it yet.
    Unasked,
    /// Asked for at that time.
    Asked(Instant),
    /// It came, or its time would tell about the producer, not about the store.
    Passed,
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.payload.fmt(f)
    }
}

impl SetAside for Metered {
    fn claim(&self) -> ClaimCheck {
        self.payload.claim()
    }

    fn size(&self) -> u64 {
        self.payload.size()
    }

    fn read(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read> {
        let first = match self.payload.progress() {
            Progress::Complete => First::Unasked,
            Progress::Growing | Progress::Broken => First::Passed,
        };
        Box::new(MeteredReader {
            reader: Arc::clone(&self.payload).read(range),
            metrics: self.metrics.clone(),
            first,
        })
    }

    fn progress(&self) -> Progress {
        self.payload.progress()
    }

    fn completed(&self) -> Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send + '_>> {
        self.payload.completed()
    }

    fn file(&self) -> Option<PathBuf> {
        self.payload.file()
    }
}

impl Read for MeteredReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if matches!(self.first, First::Unasked) {
            self.first = First::Asked(Instant::now());
        }
        let chunk = ready!(self.reader.poll_chunk(cx));
        match &chunk {
            Some(Ok(bytes)) => {
                if let First::Asked(at) = self.first {
                    self.metrics
                        .fetch_seconds
                        .observe(at.elapsed().as_secs_f64());
                }
                self.metrics.bytes_out.inc_by(bytes.len() as u64);
            }
            Some(Err(ReadError::Missing(_))) => self.metrics.early_misses.inc(),
            Some(Err(_)) | None => {}
        }
        self.first = First::Passed;
        Poll::Ready(chunk)
    }
}

impl Writer for MeteredWriter {
    fn payload(&self) -> &Arc<dyn SetAside> {
        &self.payload
    }

    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        self.metrics.bytes_in.inc_by(chunk.len() as u64);
        self.writer.write(chunk)
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn SetAside>, StoreError>> {
        let Self {
            writer, payload, ..
        } = *self;
        let finished = writer.finish();
        Box::pin(async move {
            finished.await?;
            Ok(payload)
        })
    }
}
