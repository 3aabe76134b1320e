//! The threads that serve: one for each core, each with an event loop of its own.
//!
//! A hop stays on the thread that its event came in on: the answer of one step, the acceptance of its reply and the
//! request to the next step wake no other thread. On loopback that is half of the time of a small hop.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Something to run on a worker: made elsewhere, started there.
type Job = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// The workers of one gateway. Dropping it ends them, and whatever still runs on them.
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    load: Arc<AtomicUsize>,
    _thread: JoinHandle<()>,
}

/// Workers at most: beyond that a gateway is not short of threads.
const MOST: usize = 64;

/// Workers of a gateway in this process: one for each core that it may use.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST)
}

/// Tells the threads that send apart: 1 to [`count`] for the workers, 0 for every other thread.
pub(crate) fn slot() -> usize {
    INDEX.get()
}

impl Workers {
    /// Starts them.
    pub(crate) fn start() -> io::Result<Self> {
        let workers = (1..=count())
            .map(Worker::start)
            .collect::<io::Result<_>>()?;
        Ok(Self { workers })
    }

    /// Runs `job` on the worker that runs the fewest.
    pub(crate) fn run<F, T>(&self, job: F)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let Some(worker) = self
            .workers
            .iter()
            .min_by_key(|worker| worker.load.load(Ordering::Relaxed))
        else {
            return;
        };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let load = Arc::clone(&worker.load);
        let job: Job = Box::new(move || {
            let job = job();
            Box::pin(async move {
                job.await;
                load.fetch_sub(1, Ordering::Relaxed);
            })
        });
        if worker.jobs.send(job).is_err() {
            tracing::error!("a worker thread is gone");
        }
    }
}

impl Worker {
    fn start(slot: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let thread = std::thread::Builder::new()
            .name(format!("towpath-{slot}"))
            .spawn(move || {
                INDEX.set(slot);
                runtime.block_on(async move {
                    while let Some(job) = queue.recv().await {
                        tokio::spawn(job());
                    }
                });
            })?;
        Ok(Self {
            jobs,
            load: Arc::default(),
            _thread: thread,
        })
    }
}
