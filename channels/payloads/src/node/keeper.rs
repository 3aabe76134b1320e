//! The thread that does what takes long and nobody waits for: removing files, and writing dirty pages back.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use towpath_event::PayloadId;

use super::directory::{Directory, Home};
use super::dirty::Dirty;
use super::handed::Handed;
use super::table::Table;
use super::writeback::write_back;

/// Talks to the thread. Dropping it waits until all is done that was asked for.
#[derive(Debug)]
pub(super) struct Keeper {
    to: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) enum Task {
    /// Removes the file of a payload.
    Unlink {
        id: PayloadId,
        home: Arc<Home>,
        handed: Option<Arc<Handed>>,
        /// Told how it went.
        done: Option<oneshot::Sender<io::Result<()>>>,
    },
    /// Nobody has this payload any more: closes its file.
    Close { id: PayloadId, file: Arc<File> },
    /// There is something to write back.
    WriteBack,
}

struct Thread {
    directory: Arc<Directory>,
    table: Arc<Table>,
    dirty: Arc<Dirty>,
}

impl Keeper {
    pub(super) fn start(
        directory: Arc<Directory>,
        table: Arc<Table>,
        dirty: Arc<Dirty>,
    ) -> io::Result<Self> {
        let (to, from) = channel();
        let thread = Thread {
            directory,
            table,
            dirty,
        };
        let thread = std::thread::Builder::new()
            .name("node-store".into())
            .spawn(move || thread.run(&from))?;
        Ok(Self {
            to: Some(to),
            thread: Some(thread),
        })
    }

    pub(super) fn ask(&self, task: Task) {
        // It ends only after this.
        if let Some(to) = &self.to {
            let _ = to.send(task);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Thread {
    fn run(&self, from: &Receiver<Task>) {
        while let Ok(task) = from.recv() {
            self.act(task);
            loop {
                // Removing first: what is gone need not be written.
                while let Ok(task) = from.try_recv() {
                    self.act(task);
                }
                let Some(stretch) = self.dirty.oldest() else {
                    break;
                };
                let len = stretch.to - stretch.from;
                if let Err(error) = write_back(&stretch.file, stretch.from, len) {
                    tracing::warn!(%error, "a payload cannot be written back to disk");
                }
                drop(stretch);
                self.dirty.give_back(len);
            }
        }
    }

    fn act(&self, task: Task) {
        match task {
            Task::Unlink {
                id,
                home,
                handed,
                done,
            } => {
                let removed = self.unlink(id, &home, handed.as_deref());
                if let Err(error) = &removed {
                    tracing::warn!(%error, payload = %id, "a payload cannot be removed");
                }
                if let Some(done) = done {
                    let _ = done.send(removed);
                }
            }
            Task::Close { id, file } => {
                drop(file);
                self.dirty.clean(id);
            }
            Task::WriteBack => {}
        }
    }

    fn unlink(&self, id: PayloadId, home: &Home, handed: Option<&Handed>) -> io::Result<()> {
        // A link to a file that was handed over shares its time of change with the others.
        match handed.and_then(|handed| Some((handed, home.open(id).ok()?))) {
            Some((handed, file)) => handed.while_we_change(&file, || home.unlink(id)),
            None => home.unlink(id),
        }?;
        if let Some(empty) = self.table.remove(id)
            && let Err(error) = self.directory.remove(&empty)
        {
            tracing::warn!(%error, store = %empty.id, "an empty payload store cannot be removed");
        }
        Ok(())
    }
}
