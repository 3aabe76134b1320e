//! Takes in the data of an event or a reply: what is small stays in memory, what is bulky is set aside in a payload store
//! as it comes (DESIGN section 4, step 2).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use tokio::sync::OwnedSemaphorePermit;
use towpath_event::{Payload, Place, SetAside};
use towpath_payloads::{Begin, Draw, Full, Lease, StoreError, Writer};

use crate::admission::Admission;

/// What an event takes besides its data, in bytes: its head stays in the buffer that it was read into.
const HEAD_BYTES: u64 = 8 * 1024;

/// Where data comes from.
pub(crate) trait Source {
    /// Why it ended too early.
    type Error;

    /// The next bytes; `None` at the end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Self::Error>>;
}

/// Why data was not taken in.
#[derive(Debug)]
pub(crate) enum Unfit<E> {
    /// `size` is what was announced, or how much had come when the limit was passed.
    TooLarge {
        size: u64,
        limit: u64,
        setting: &'static str,
    },
    /// No room now, or no store that works.
    Store(StoreError),
    /// The source broke off.
    Source(E),
}

/// What is to be taken in.
#[derive(Clone, Copy)]
pub(crate) struct Intake<'a> {
    pub(crate) admission: &'a Admission,
    pub(crate) namespace: &'a Arc<str>,
    pub(crate) draw: Draw,
    /// The whole event is in the body: it is parsed in memory.
    pub(crate) structured: bool,
    /// A subscriber is shown payloads by reference: files are preferred.
    pub(crate) as_file: bool,
}

/// Room for data that is still to come.
pub(crate) enum Room {
    /// Into memory, if it is no more than that.
    Small {
        announced: Option<u64>,
        lease: Lease,
    },
    /// Into a store, as it comes.
    Bulky(Bulky),
}

/// Data that is streaming into a store, and can be read while it does. Dropping it breaks the payload.
pub(crate) struct Bulky {
    writer: Box<dyn Writer>,
    head: Option<Lease>,
    /// What it takes on its way, unless it stays in memory anyway.
    place: Option<OwnedSemaphorePermit>,
}

impl Intake<'_> {
    /// Makes room for data of this length, before any of it is read.
    ///
    /// # Errors
    /// [`Unfit`], never of the source.
    pub(crate) async fn admit<E>(self, announced: Option<u64>) -> Result<Room, Unfit<E>> {
        let (limit, setting) = self.limit();
        if let Some(size) = announced.filter(|size| *size > limit) {
            return Err(Unfit::TooLarge {
                size,
                limit,
                setting,
            });
        }
        let inline_max = self.admission.limits.inline_max;
        if !self.structured && announced.is_some_and(|len| len > inline_max) {
            return self.begin(announced).await.map(Room::Bulky);
        }
        let lease = self.lease(HEAD_BYTES + announced.unwrap_or_default())?;
        Ok(Room::Small { announced, lease })
    }

    /// Begins a payload in the store that is right for it.
    ///
    /// # Errors
    /// [`Unfit`], never of the source.
    pub(crate) async fn begin<E>(self, length: Option<u64>) -> Result<Bulky, Unfit<E>> {
        let head = self.lease(HEAD_BYTES)?;
        let begun = self.admission.stores.begin(Begin {
            namespace: self.namespace,
            draw: self.draw,
            length,
            as_file: self.as_file,
        });
        let whole = length.map(|length| HEAD_BYTES + length);
        let writer = begun.await.map_err(|error| no_room(error, whole))?;
        let in_memory = writer.payload().claim().place == Place::Memory;
        let streams = &self.admission.streams;
        let place = match self.draw {
            _ if in_memory => None,
            Draw::Door => {
                let place = streams.at_the_door();
                Some(place.map_err(|full| Unfit::Store(full.into()))?)
            }
            Draw::Reply => streams.for_a_reply().await,
        };
        Ok(Bulky {
            writer,
            head: Some(head),
            place,
        })
    }

    /// Takes in small data. What turns out to be bulky is set aside, whole, before this returns.
    ///
    /// # Errors
    /// [`Unfit`].
    pub(crate) async fn collect<S: Source>(
        self,
        announced: Option<u64>,
        mut lease: Lease,
        source: &mut S,
    ) -> Result<Payload, Unfit<S::Error>> {
        let (limit, setting) = self.limit();
        let most = if self.structured {
            limit
        } else {
            self.admission.limits.inline_max
        };
        let (mut chunks, mut size) = (Vec::new(), 0u64);
        while let Some(chunk) = next(source).await? {
            size += chunk.len() as u64;
            if size > limit {
                return Err(Unfit::TooLarge {
                    size,
                    limit,
                    setting,
                });
            }
            if announced.is_none() {
                let grown = lease.grow(chunk.len() as u64);
                grown.map_err(|full| no_room(full.into(), Some(HEAD_BYTES + size)))?;
            }
            chunks.push(chunk);
            if size > most {
                drop(lease);
                return self.set_aside(chunks, source).await;
            }
        }
        Ok(Payload::from_chunks(chunks).with_lease(lease))
    }

    /// Sets aside data of unknown length: what came of it already, and the rest.
    async fn set_aside<S: Source>(
        self,
        came: Vec<Bytes>,
        source: &mut S,
    ) -> Result<Payload, Unfit<S::Error>> {
        let mut bulky = self.begin(None).await?;
        let mut size = 0;
        for chunk in came {
            size += chunk.len() as u64;
            bulky.writer.write(chunk).await.map_err(Unfit::Store)?;
        }
        let payload = bulky.payload();
        let rest = bulky.fill(source, size, self.limit()).await?;
        rest.finish().await.map_err(Unfit::Store)?;
        Ok(payload)
    }

    /// Sets aside data that is in memory already.
    ///
    /// # Errors
    /// [`Unfit::Store`].
    pub(crate) async fn move_aside<E>(self, payload: &Payload) -> Result<Payload, Unfit<E>> {
        let mut bulky = self.begin(Some(payload.len())).await?;
        for chunk in payload.chunks().unwrap_or_default() {
            let written = bulky.writer.write(chunk.clone()).await;
            written.map_err(Unfit::Store)?;
        }
        let moved = bulky.payload();
        bulky.finish().await.map_err(Unfit::Store)?;
        Ok(moved)
    }

    /// The largest body, in bytes, and the setting that says so.
    pub(crate) fn limit(self) -> (u64, &'static str) {
        let limits = &self.admission.limits;
        if self.structured && limits.max_structured_bytes < limits.max_event_bytes {
            (limits.max_structured_bytes, "limits.maxStructuredBytes")
        } else {
            (limits.max_event_bytes, "limits.maxEventBytes")
        }
    }

    fn lease<E>(self, bytes: u64) -> Result<Lease, Unfit<E>> {
        let lease = self.admission.budget.take(self.namespace, self.draw, bytes);
        lease.map_err(|full| no_room(full.into(), Some(bytes)))
    }
}

impl Bulky {
    /// The payload, while it grows and afterwards. It holds the lease of its head.
    pub(crate) fn payload(&mut self) -> Payload {
        let payload = Payload::set_aside(Arc::clone(self.writer.payload()));
        match self.head.take() {
            Some(head) => payload.with_lease(head),
            None => payload,
        }
    }

    /// Takes in what comes, to the end of the source. `came` bytes have come before.
    ///
    /// # Errors
    /// [`Unfit`]; the payload is broken then.
    pub(crate) async fn fill<S: Source>(
        mut self,
        source: &mut S,
        came: u64,
        (limit, setting): (u64, &'static str),
    ) -> Result<Self, Unfit<S::Error>> {
        let mut size = came;
        while let Some(chunk) = next(source).await? {
            size += chunk.len() as u64;
            if size > limit {
                return Err(Unfit::TooLarge {
                    size,
                    limit,
                    setting,
                });
            }
            let written = self.writer.write(chunk).await;
            written.map_err(|error| no_room(error, Some(HEAD_BYTES + size)))?;
        }
        Ok(self)
    }

    /// Completes the payload.
    ///
    /// # Errors
    /// [`StoreError`]; the payload is broken then.
    pub(crate) async fn finish(self) -> Result<Arc<dyn SetAside>, StoreError> {
        let Self {
            writer,
            head: _,
            place,
        } = self;
        let stored = writer.finish().await?;
        drop(place);
        Ok(stored)
    }
}

async fn next<S: Source>(source: &mut S) -> Result<Option<Bytes>, Unfit<S::Error>> {
    let chunk = std::future::poll_fn(|cx| source.poll_chunk(cx)).await;
    chunk.map_err(Unfit::Source)
}

/// Data that can never fit is too large, not too early: a retry would fail for ever.
fn no_room<E>(error: StoreError, whole: Option<u64>) -> Unfit<E> {
    match (error, whole) {
        (StoreError::Full(Full { limit, setting, .. }), Some(size)) if size > limit => {
            Unfit::TooLarge {
                size,
                limit,
                setting,
            }
        }
        (error, _) => Unfit::Store(error),
    }
}

/// The next data of a body; trailers are no part of an event.
pub(crate) fn poll_data<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, B::Error>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => return Poll::Ready(Ok(None)),
            Some(Err(error)) => return Poll::Ready(Err(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Poll::Ready(Ok(Some(data))),
                Ok(_) | Err(_) => {}
            },
        }
    }
}
