//! Writes a payload to a store elsewhere: parts of it are on their way while the next one fills.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use towpath_event::{Digest, SetAside};

use super::RemotePayload;
use super::pending::Pending;
use crate::intake::Intake;
use crate::{Lease, StoreError, Tier, Writer};

/// A part of a payload: its number, from 0, and its bytes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) number: usize,
    pub(crate) bytes: Vec<Bytes>,
}

/// How a store takes the parts of one payload.
pub(crate) trait Upload: Send + 'static {
    /// Stores a part that is not the last. Several of these run at once.
    fn part(&mut self, part: Part) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Stores the last part, which may be empty, and completes the payload; all other parts are stored.
    fn complete(
        &mut self,
        last: Part,
        size: u64,
        digest: Option<Digest>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Leaves nothing of it behind, however far it has come.
    fn abort(&mut self) -> BoxFuture<'_, ()>;
}

/// What it takes to begin.
#[derive(Debug)]
pub(crate) struct Uploading {
    pub(crate) tier: Tier,
    pub(crate) payload: Arc<RemotePayload>,
    /// Whether to make a digest.
    pub(crate) digest: bool,
    /// Bytes of every part but the last.
    pub(crate) part_bytes: usize,
    /// Parts on their way at once.
    pub(crate) in_flight: usize,
    /// Holds the memory of all parts, until the last of them is gone.
    pub(crate) lease: Lease,
}

/// The writer. What it has taken is stored by a task of its own, which cleans up however the writer ends.
pub(crate) struct RemoteWriter {
    tier: Tier,
    payload: Arc<RemotePayload>,
    /// The same, as others see it.
    shown: Arc<dyn SetAside>,
    intake: Intake,
    pending: Pending,
    part_bytes: usize,
    /// Number of the next part.
    next: usize,
    room: Arc<Semaphore>,
    orders: UnboundedSender<Order>,
    failed: Arc<OnceLock<StoreError>>,
    finished: bool,
}

/// Bounded by the room for parts.
enum Order {
    Part(Part, OwnedSemaphorePermit),
    Finish(Finish),
}

struct Finish {
    last: Part,
    size: u64,
    digest: Option<Digest>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

impl RemoteWriter {
    /// Begins; must be called within a runtime.
    pub(crate) fn begin(uploading: Uploading, upload: impl Upload) -> Box<dyn Writer> {
        let Uploading {
            tier,
            payload,
            digest,
            part_bytes,
            in_flight,
            lease,
        } = uploading;
        let room = Arc::new(Semaphore::new(in_flight));
        let (orders, ordered) = unbounded_channel();
        let failed = Arc::new(OnceLock::new());
        payload.account.takes(payload.id, payload.size());
        tokio::spawn(drive(
            Driver {
                payload: Arc::clone(&payload),
                room: Arc::clone(&room),
                failed: Arc::clone(&failed),
                _lease: lease,
            },
            upload,
            ordered,
        ));
        Box::new(Self {
            tier,
            shown: Arc::clone(&payload) as Arc<dyn SetAside>,
            intake: Intake::new(payload.announced, digest),
            payload,
            pending: Pending::default(),
            part_bytes,
            next: 0,
            room,
            orders,
            failed,
            finished: false,
        })
    }

    async fn take(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.intake.take(&chunk)?;
        self.pending.push(chunk);
        if self.payload.announced.is_none() {
            self.payload.growth.advance(self.intake.came());
            self.payload
                .account
                .takes(self.payload.id, self.intake.came());
        }
        // at least a byte stays, so that the last part is known to be the last
        while self.pending.bytes() > self.part_bytes {
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
                return Err(self.failure());
            };
            // nothing waits between the cut and the order, so dropping this future loses nothing
            let part = self.cut(self.part_bytes);
            if self.orders.send(Order::Part(part, permit)).is_err() {
                return Err(self.failure());
            }
        }
        match self.failed.get() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn cut(&mut self, most: usize) -> Part {
        let number = self.next;
        self.next += 1;
        let bytes = self.pending.take(most);
        Part { number, bytes }
    }

    fn failure(&self) -> StoreError {
        failure(&self.failed, self.tier)
    }
}

fn failure(failed: &OnceLock<StoreError>, tier: Tier) -> StoreError {
    failed.get().cloned().unwrap_or(StoreError::Unavailable {
        tier,
        reason: "the payload was broken off".into(),
    })
}

impl Writer for RemoteWriter {
    fn payload(&self) -> &Arc<dyn SetAside> {
        &self.shown
    }

    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let taken = self.take(chunk).await;
            if taken.is_err() {
                self.payload.growth.break_off();
            }
            taken
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move {
            let digest = self.intake.end()?;
            let (done, result) = oneshot::channel();
            let finish = Finish {
                last: self.cut(usize::MAX),
                size: self.intake.came(),
                digest,
                done,
            };
            if self.orders.send(Order::Finish(finish)).is_err() {
                return Err(self.failure());
            }
            self.finished = true;
            match result.await {
                Ok(result) => result.map(|()| Arc::clone(&self.shown)),
                Err(_) => Err(self.failure()),
            }
        })
    }
}

impl Drop for RemoteWriter {
    fn drop(&mut self) {
        if !self.finished {
            // the task sees its orders end; readers need not wait for that
            self.payload.growth.break_off();
        }
    }
}

impl fmt::Debug for RemoteWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteWriter({:?})", self.payload)
    }
}

struct Driver {
    payload: Arc<RemotePayload>,
    room: Arc<Semaphore>,
    failed: Arc<OnceLock<StoreError>>,
    _lease: Lease,
}

/// How an upload ends before it is complete.
enum Broken {
    /// Whoever wrote it has gone.
    Writer,
    Store(StoreError),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn drive(driver: Driver, mut upload: impl Upload, mut orders: UnboundedReceiver<Order>) {
    match store_all(&driver, &mut upload, &mut orders).await {
        Ok(done) => {
            // nobody waits for it any more: then nobody has it
            if done.send(Ok(())).is_err() {
                upload.abort().await;
                driver.payload.account.gone(driver.payload.id);
            }
        }
        Err((broken, done)) => {
            driver.payload.growth.break_off();
            if let Broken::Store(error) = broken {
                let _ = driver.failed.set(error.clone());
                if let Some(done) = done {
                    let _ = done.send(Err(error));
                }
            }
            driver.room.close();
            orders.close();
            upload.abort().await;
            driver.payload.account.gone(driver.payload.id);
        }
    }
}

type Done = oneshot::Sender<Result<(), StoreError>>;

async fn store_all(
    driver: &Driver,
    upload: &mut impl Upload,
    orders: &mut UnboundedReceiver<Order>,
) -> Result<Done, (Broken, Option<Done>)> {
    let mut running = FuturesUnordered::new();
    let finish = loop {
        tokio::select! {
            Some(stored) = running.next() => match stored {
                Ok(()) => {}
                Err(error) => return Err((Broken::Store(error), None)),
            },
            order = orders.recv() => match order {
                None => return Err((Broken::Writer, None)),
                Some(Order::Finish(finish)) => break finish,
                Some(Order::Part(part, permit)) => {
                    let part = upload.part(part);
                    running.push(async move {
                        let _room = permit;
                        part.await
                    });
                }
            },
        }
    };
    let Finish {
        last,
        size,
        digest,
        mut done,
    } = finish;
    let rest = async {
        while let Some(stored) = running.next().await {
            stored?;
        }
        upload.complete(last, size, digest).await
    };
    let stored = tokio::select! {
        stored = rest => stored.map_err(Broken::Store),
        () = done.closed() => Err(Broken::Writer),
    };
    match stored {
        Err(broken) => Err((broken, Some(done))),
        Ok(()) => {
            driver.payload.account.takes(driver.payload.id, size);
            driver.payload.growth.advance(size);
            driver.payload.growth.finish(digest);
            Ok(done)
        }
    }
}
