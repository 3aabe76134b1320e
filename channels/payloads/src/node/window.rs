//! The chunks of a growing payload that are in memory: those not written yet, and the last written ones, so that
//! readers who keep up get the very chunks that came and never touch the file.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::StoreError;
use crate::memory::part;

/// Bytes that wait to be written, for one payload, before its writer waits.
const UNWRITTEN: u64 = 1 << 20;
/// Chunks that wait to be written: a producer may send its bytes one by one. What one system call takes.
const UNWRITTEN_CHUNKS: usize = 512;
/// Chunks that may stay in memory instead of being written: many small ones take far more than their bytes.
const RESTING_CHUNKS: usize = 256;
/// Written bytes that stay, if the store has room for that.
pub(super) const TAIL: u64 = 256 << 10;
/// Written chunks that stay.
const TAIL_CHUNKS: usize = 64;

#[derive(Debug)]
pub(super) struct Window(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Where each begins, and its bytes: first the tail, then the unwritten ones.
    chunks: VecDeque<(u64, Bytes)>,
    /// How many of them are in the tail.
    tail: usize,
    came: u64,
    written: u64,
    /// Whether somebody is writing.
    flying: bool,
    end: Option<Result<(), StoreError>>,
    /// The writer, waiting.
    waiting: Option<Waker>,
    /// Room for a tail.
    room: Option<OwnedSemaphorePermit>,
    /// Room for all of it, so that it need not be written.
    rest: Option<OwnedSemaphorePermit>,
    /// It is to be written although there is room for it.
    hurry: bool,
}

/// Where bytes are to be had.
#[derive(Debug)]
pub(super) enum Where {
    /// Here they are.
    Here(Bytes),
    /// In the file, up to this position.
    File(u64),
}

impl Window {
    /// Of a payload of which nothing has come. `room`: for a tail; `rest`: for all of it.
    pub(super) fn new(
        room: Option<OwnedSemaphorePermit>,
        rest: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self(Mutex::new(State {
            chunks: VecDeque::new(),
            tail: 0,
            came: 0,
            written: 0,
            flying: false,
            end: None,
            waiting: None,
            room,
            rest,
            hurry: false,
        }))
    }

    /// Of a payload whose `size` bytes are all in the file.
    pub(super) fn written(size: u64) -> Self {
        let window = Self::new(None, None);
        {
            let mut state = window.state();
            (state.came, state.written) = (size, size);
            state.end = Some(Ok(()));
        }
        window
    }

    /// Adds a chunk; how many bytes have come now, and whether somebody must begin to write.
    pub(super) fn push(&self, chunk: Bytes) -> (u64, bool) {
        let mut state = self.state();
        let begins = state.came;
        state.came += chunk.len() as u64;
        state.chunks.push_back((begins, chunk));
        (state.came, state.begins_to_fly())
    }

    /// Bytes that came.
    pub(super) fn came(&self) -> u64 {
        self.state().came
    }

    /// What to write next, and where it goes; `None` when there is nothing, or no need any more.
    pub(super) fn batch(&self) -> Option<(u64, Vec<Bytes>)> {
        let mut state = self.state();
        let unwritten = state.chunks.iter().skip(state.tail);
        let batch: Vec<_> = unwritten.map(|(_, chunk)| chunk.clone()).collect();
        if state.end.is_some() || batch.is_empty() || !state.is_ripe() {
            state.flying = false;
            wake(state);
            return None;
        }
        Some((state.written, batch))
    }

    /// Whether it is in memory, as much of it as came, and nobody writes it.
    pub(super) fn is_resting(&self) -> bool {
        self.state().is_resting()
    }

    /// All of it is to be written now; whether somebody must begin to.
    pub(super) fn hurry(&self) -> bool {
        let mut state = self.state();
        state.hurry = true;
        state.came > state.written && state.begins_to_fly()
    }

    /// It could not be written and goes on as it is.
    pub(super) fn stay(&self) {
        let mut state = self.state();
        (state.hurry, state.flying) = (false, false);
    }

    /// The next `bytes` are in the file, a whole number of chunks. Tells whether anybody wants them there still.
    pub(super) fn landed(&self, bytes: u64) -> bool {
        let mut state = self.state();
        if state.end.is_some() {
            return false;
        }
        state.written += bytes;
        let written = state.written;
        let unwritten = state.chunks.partition_point(|(at, _)| *at < written);
        state.tail = unwritten;
        let room = if state.room.is_some() { TAIL } else { 0 };
        while state.tail > 0
            && (state.tail > TAIL_CHUNKS || state.begins().is_some_and(|at| written - at > room))
        {
            state.chunks.pop_front();
            state.tail -= 1;
        }
        wake(state);
        true
    }

    /// Nothing more is written: `how` it ended. Gives the number of bytes that were not written.
    pub(super) fn end(&self, how: Result<(), StoreError>) -> u64 {
        let mut state = self.state();
        if state.end.is_some() {
            return 0;
        }
        state.end = Some(how);
        let unwritten = state.unwritten();
        let chunks = std::mem::take(&mut state.chunks);
        state.tail = 0;
        (state.room, state.rest) = (None, None);
        wake(state);
        drop(chunks);
        unwritten
    }

    /// Ready when more may be pushed.
    ///
    /// # Errors
    /// What ended it.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), StoreError>> {
        self.poll(cx, |state| {
            state.unwritten() <= state.may_rest().max(UNWRITTEN - 1)
                && state.chunks.len() - state.tail < UNWRITTEN_CHUNKS
        })
    }

    /// Ready when all that was pushed is in the file.
    ///
    /// # Errors
    /// What ended it.
    pub(super) fn poll_idle(&self, cx: &Context<'_>) -> Poll<Result<(), StoreError>> {
        self.poll(cx, |state| state.came == state.written && !state.flying)
    }

    fn poll(
        &self,
        cx: &Context<'_>,
        holds: impl Fn(&State) -> bool,
    ) -> Poll<Result<(), StoreError>> {
        let mut state = self.state();
        if let Some(end) = &state.end {
            return Poll::Ready(end.clone());
        }
        if holds(&state) {
            return Poll::Ready(Ok(()));
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Where the bytes of `range` begin.
    pub(super) fn find(&self, range: &Range<u64>) -> Where {
        let state = self.state();
        let after = state.chunks.partition_point(|(at, _)| *at <= range.start);
        let chunk = after.checked_sub(1).and_then(|at| state.chunks.get(at));
        match chunk.and_then(|(at, chunk)| part(chunk, *at, range)) {
            Some(bytes) => Where::Here(bytes),
            None => Where::File(state.written.min(range.end)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn unwritten(&self) -> u64 {
        self.came - self.written
    }

    /// Bytes that need not be written.
    fn may_rest(&self) -> u64 {
        let room = self.rest.as_ref().map(OwnedSemaphorePermit::num_permits);
        room.unwrap_or_default() as u64
    }

    /// Whether what is not written should be.
    fn is_ripe(&self) -> bool {
        self.hurry
            || self.unwritten() > self.may_rest()
            || self.chunks.len() - self.tail > RESTING_CHUNKS
    }

    fn is_resting(&self) -> bool {
        self.rest.is_some() && self.written == 0 && !self.flying
    }

    /// Whether somebody must begin to write; whoever is told so does.
    fn begins_to_fly(&mut self) -> bool {
        self.is_ripe() && !std::mem::replace(&mut self.flying, true)
    }

    /// Where the first chunk begins.
    fn begins(&self) -> Option<u64> {
        self.chunks.front().map(|(at, _)| *at)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = state.waiting.take();
    drop(state);
    if let Some(waker) = waiting {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::poll_fn;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn window() -> Window {
        let room = Arc::new(Semaphore::new(1));
        Window::new(Some(room.try_acquire_owned().unwrap()), None)
    }

    fn here(window: &Window, range: Range<u64>) -> Option<usize> {
        match window.find(&range) {
            Where::Here(bytes) => Some(bytes.len()),
            Where::File(_) => None,
        }
    }

    const PIECE: usize = 100 << 10;

    #[test]
    fn what_is_not_written_and_the_last_that_is_are_here() {
        let window = window();
        let piece = Bytes::from(vec![7; PIECE]);
        for i in 0..6 {
            assert_eq!(window.push(piece.clone()).1, i == 0, "one writes");
        }
        let (at, batch) = window.batch().unwrap();
        assert_eq!((at, batch.len()), (0, 6));
        assert_eq!(here(&window, 0..u64::MAX), Some(PIECE));
        assert!(window.landed(5 * PIECE as u64));
        assert_eq!(here(&window, 0..u64::MAX), None, "too long ago");
        let piece = PIECE as u64;
        assert!(matches!(window.find(&(0..u64::MAX)), Where::File(at) if at == 5 * piece));
        assert_eq!(here(&window, 3 * piece..u64::MAX), Some(PIECE), "the tail");
        assert_eq!(here(&window, 5 * piece + 1..5 * piece + 3), Some(2));
        assert_eq!(here(&window, 6 * piece..u64::MAX), None, "nothing yet");
        assert_eq!(window.batch().unwrap().0, 5 * piece);
        assert_eq!(window.end(Ok(())), piece, "one was not written");
        assert_eq!(here(&window, 5 * piece..u64::MAX), None);
        assert!(!window.landed(piece), "too late");
        assert!(window.batch().is_none());
    }

    #[test]
    fn the_writer_waits_for_room_and_for_the_end() {
        let window = window();
        let room = || poll_fn(|cx| window.poll_room(cx)).now_or_never();
        let idle = || poll_fn(|cx| window.poll_idle(cx)).now_or_never();
        assert_eq!((room(), idle()), (Some(Ok(())), Some(Ok(()))));
        window.push(Bytes::from(vec![7; 1 << 20]));
        assert_eq!((room(), idle()), (None, None));
        window.batch().unwrap();
        window.landed(1 << 20);
        assert_eq!((room(), idle()), (Some(Ok(())), None), "in flight still");
        assert!(window.batch().is_none());
        assert_eq!(idle(), Some(Ok(())));
        for _ in 0..UNWRITTEN_CHUNKS {
            window.push(Bytes::from_static(b"x"));
        }
        assert_eq!(room(), None, "tiny ones count too");
        let why = StoreError::Unavailable {
            tier: crate::Tier::Node,
            reason: "disk".into(),
        };
        assert_eq!(window.end(Err(why.clone())), UNWRITTEN_CHUNKS as u64);
        assert_eq!(room(), Some(Err(why)));
    }
}
