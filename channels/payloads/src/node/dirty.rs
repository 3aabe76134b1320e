//! The bound on bytes that were taken in and are not on disk: those in memory and those in dirty pages of files.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use towpath_event::PayloadId;

/// Bytes that are written back in one go: bounds how long whoever waits for room waits.
const STEP: u64 = 8 << 20;
/// The least bound: below it, no chunk could be taken in while another is written.
const LEAST: usize = 2 << 20;

/// Every byte takes a place when it comes in, and gives it back when it is on disk or its payload is gone.
///
/// Writing back begins when half of the bound is dirty or stays in memory, oldest first, so that payloads which are
/// deleted soon never reach the disk.
#[derive(Debug)]
pub(super) struct Dirty {
    room: Semaphore,
    half: u64,
    /// Room for payloads that stay in memory and are not written at all, part of the bound.
    rest: Arc<Semaphore>,
    rest_at_most: u64,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    files: HashMap<PayloadId, Stretch>,
    /// Files in the order in which they became dirty; some are clean or gone by now.
    order: VecDeque<PayloadId>,
    bytes: u64,
}

/// The part of a file that is not on disk.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) file: Arc<File>,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Dirty {
    /// At most `bytes`, 2 MiB at the least.
    pub(super) fn new(bytes: u64) -> Self {
        let bound = usize::try_from(bytes).unwrap_or(usize::MAX);
        let bound = bound.clamp(LEAST, Semaphore::MAX_PERMITS) / 2 * 2;
        let rest = if bound < 4 * LEAST { 0 } else { bound / 4 * 3 };
        Self {
            room: Semaphore::new(bound),
            half: bound as u64 / 2,
            rest: Arc::new(Semaphore::new(rest)),
            rest_at_most: rest as u64,
            pages: Mutex::default(),
        }
    }

    /// Waits for room for `bytes`, at most 1 MiB, and takes it.
    pub(super) async fn take(&self, bytes: usize) {
        let asked = u32::try_from(bytes).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        if let Ok(room) = self.room.acquire_many(asked).await {
            room.forget();
        }
    }

    /// Room for a whole payload of `bytes` to stay in memory; those bytes take their places in the bound besides, as
    /// they come. At most half of what there is for that goes to one. Writing back must begin if [`is_time`](Self::is_time).
    pub(super) fn rest(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let asked = u32::try_from(bytes).ok()?;
        let small = bytes <= self.rest_at_most / 2;
        small
            .then(|| Arc::clone(&self.rest).try_acquire_many_owned(asked).ok())
            .flatten()
    }

    /// Whether it is time to write back.
    pub(super) fn is_time(&self) -> bool {
        self.is_much(self.pages().bytes)
    }

    /// Whether so many bytes in dirty pages, beside those that stay in memory, are more than half of the bound.
    fn is_much(&self, bytes: u64) -> bool {
        let resting = self.rest_at_most - self.rest.available_permits() as u64;
        bytes > 0 && bytes + resting > self.half
    }

    /// Gives back the room of bytes that were not written to a file.
    pub(super) fn give_back(&self, bytes: u64) {
        self.room
            .add_permits(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Bytes for which room was taken are in dirty pages now. Tells whether it is time to write back.
    pub(super) fn written(&self, id: PayloadId, file: &Arc<File>, from: u64, to: u64) -> bool {
        let mut pages = self.pages();
        if let Some(stretch) = pages.files.get_mut(&id) {
            stretch.to = to;
        } else {
            let file = Arc::clone(file);
            pages.files.insert(id, Stretch { file, from, to });
            pages.order.push_back(id);
        }
        pages.bytes += to - from;
        self.is_much(pages.bytes)
    }

    /// The oldest dirty pages, while it is time to write back. Once they are clean, or cannot be, their
    /// room must be given back.
    pub(super) fn oldest(&self) -> Option<Stretch> {
        let mut pages = self.pages();
        if !self.is_much(pages.bytes) {
            return None;
        }
        while let Some(id) = pages.order.front().copied() {
            let Some(stretch) = pages.files.get_mut(&id) else {
                pages.order.pop_front();
                continue;
            };
            let step = Stretch {
                file: Arc::clone(&stretch.file),
                from: stretch.from,
                to: stretch.to.min(stretch.from + STEP),
            };
            stretch.from = step.to;
            if stretch.from == stretch.to {
                pages.files.remove(&id);
                pages.order.pop_front();
            }
            pages.bytes -= step.to - step.from;
            return Some(step);
        }
        None
    }

    /// A payload has no dirty pages any more: it is on disk, or its file is closed and gone.
    pub(super) fn clean(&self, id: PayloadId) {
        let mut pages = self.pages();
        let Some(stretch) = pages.files.remove(&id) else {
            return;
        };
        let bytes = stretch.to - stretch.from;
        pages.bytes -= bytes;
        if pages.order.len() > 2 * pages.files.len() + 64 {
            let Pages { files, order, .. } = &mut *pages;
            order.retain(|id| files.contains_key(id));
        }
        drop(pages);
        // Closing a file that has no name any more frees it, which takes time: only then is the room there.
        drop(stretch);
        self.give_back(bytes);
    }

    #[cfg(test)]
    pub(super) fn bound(&self) -> u64 {
        2 * self.half
    }

    #[cfg(test)]
    pub(super) fn nothing_rests(&self) -> bool {
        self.rest.available_permits() as u64 == self.rest_at_most
    }

    /// Bytes for which room is taken, and those of them in dirty pages.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> (u64, u64) {
        let bound = usize::try_from(2 * self.half).unwrap();
        let taken = bound - self.room.available_permits();
        (taken as u64, self.pages().bytes)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const MIB: u64 = 1 << 20;

    fn id(number: u8) -> PayloadId {
        PayloadId::from_bytes([number; 16])
    }

    /// Takes room for `bytes` and has them written.
    fn write(dirty: &Dirty, file: &Arc<File>, number: u8, from: u64, bytes: u64) -> Option<bool> {
        dirty
            .take(usize::try_from(bytes).unwrap())
            .now_or_never()
            .map(|()| dirty.written(id(number), file, from, from + bytes))
    }

    #[test]
    fn room_comes_back_oldest_first_from_half_on() {
        let dirty = Dirty::new(4 * MIB);
        let file = Arc::new(tempfile::tempfile().unwrap());
        assert_eq!(write(&dirty, &file, 1, 0, MIB), Some(false));
        assert_eq!(write(&dirty, &file, 2, 0, MIB), Some(false));
        assert!(dirty.oldest().is_none(), "half may stay dirty");
        assert_eq!(write(&dirty, &file, 3, 0, MIB), Some(true));
        assert_eq!(write(&dirty, &file, 1, MIB, MIB), Some(true));
        assert_eq!(write(&dirty, &file, 3, MIB, 1), None, "no room");
        let first = dirty.oldest().unwrap();
        assert_eq!((first.from, first.to), (0, 2 * MIB), "all of the oldest");
        assert!(dirty.oldest().is_none());
        assert_eq!(write(&dirty, &file, 3, MIB, 1), None, "not on disk yet");
        dirty.give_back(2 * MIB);
        assert_eq!(write(&dirty, &file, 3, MIB, MIB), Some(true));
    }

    #[test]
    fn what_is_gone_is_not_written_back() {
        let dirty = Dirty::new(4 * MIB);
        let file = Arc::new(tempfile::tempfile().unwrap());
        for number in 1..=4 {
            write(&dirty, &file, number, 0, MIB).unwrap();
        }
        dirty.clean(id(1));
        dirty.clean(id(1));
        dirty.clean(id(2));
        assert!(dirty.oldest().is_none());
        assert_eq!(Arc::strong_count(&file), 3);
        for round in 0..1000 {
            write(&dirty, &file, 1, round, 1).unwrap();
            dirty.clean(id(1));
        }
        assert!(dirty.pages().order.len() < 100);
    }
}
