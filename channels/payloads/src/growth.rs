//! How far a payload has come, and who waits for more of it (cut-through, DESIGN section 12).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use towpath_event::{Digest, Progress, ReadError};

/// Shared by the writer of a payload and everyone who reads it.
#[derive(Debug)]
pub(crate) struct Growth {
    began: SystemTime,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    written: u64,
    progress: Progress,
    digest: Option<Digest>,
    /// Woken, all of them, when anything changes.
    waiting: Vec<Waker>,
}

impl Growth {
    /// Of a payload of which nothing has come.
    pub(crate) fn new() -> Self {
        Self::at(0, Progress::Growing, None)
    }

    /// Of a payload that is all there.
    pub(crate) fn complete(size: u64, digest: Option<Digest>) -> Self {
        Self::at(size, Progress::Complete, digest)
    }

    fn at(written: u64, progress: Progress, digest: Option<Digest>) -> Self {
        Self {
            began: SystemTime::now(),
            state: Mutex::new(State {
                written,
                progress,
                digest,
                waiting: Vec::new(),
            }),
        }
    }

    /// When it began to be written here.
    pub(crate) fn began(&self) -> SystemTime {
        self.began
    }

    /// Bytes that can be read.
    pub(crate) fn written(&self) -> u64 {
        self.state().written
    }

    pub(crate) fn progress(&self) -> Progress {
        self.state().progress
    }

    /// Known when it is complete, if one was asked for.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.state().digest
    }

    /// `written` bytes can be read now.
    pub(crate) fn advance(&self, written: u64) {
        self.change(|state| state.written = written);
    }

    /// All of it is there.
    pub(crate) fn finish(&self, digest: Option<Digest>) {
        self.change(|state| {
            state.progress = Progress::Complete;
            state.digest = digest;
        });
    }

    /// It never will be, unless it is complete already.
    pub(crate) fn break_off(&self) {
        self.change(|state| {
            if state.progress == Progress::Growing {
                state.progress = Progress::Broken;
            }
        });
    }

    /// Bytes that can be read, once these are more than `offset`.
    ///
    /// # Errors
    /// [`ReadError::SourceBroke`].
    pub(crate) fn poll_beyond(
        &self,
        offset: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64, ReadError>> {
        let mut state = self.state();
        match state.progress {
            Progress::Broken => Poll::Ready(Err(ReadError::SourceBroke)),
            Progress::Complete => Poll::Ready(Ok(state.written)),
            Progress::Growing if state.written > offset => Poll::Ready(Ok(state.written)),
            Progress::Growing => {
                state.wait(cx);
                Poll::Pending
            }
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`ReadError::SourceBroke`].
    pub(crate) async fn completed(&self) -> Result<(), ReadError> {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            match state.progress {
                Progress::Broken => Poll::Ready(Err(ReadError::SourceBroke)),
                Progress::Complete => Poll::Ready(Ok(())),
                Progress::Growing => {
                    state.wait(cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.state();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        // Outside the lock, since who is woken may ask at once.
        waiting.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::poll_fn;

    #[test]
    fn who_waits_is_woken_by_more_and_by_the_end() {
        let growth = Growth::new();
        assert_eq!(poll_fn(|cx| growth.poll_beyond(0, cx)).now_or_never(), None);
        growth.advance(10);
        let beyond = |offset| poll_fn(|cx| growth.poll_beyond(offset, cx)).now_or_never();
        assert_eq!(beyond(0), Some(Ok(10)));
        assert_eq!(beyond(10), None);
        growth.finish(None);
        assert_eq!(beyond(10), Some(Ok(10)));
        growth.break_off();
        assert_eq!(growth.progress(), Progress::Complete, "too late to break");
        assert_eq!(growth.completed().now_or_never(), Some(Ok(())));
    }

    #[test]
    fn a_broken_one_says_so_to_all() {
        let growth = Growth::new();
        growth.advance(5);
        growth.break_off();
        let beyond = poll_fn(|cx| growth.poll_beyond(0, cx)).now_or_never();
        assert_eq!(beyond, Some(Err(ReadError::SourceBroke)));
        let end = growth.completed().now_or_never();
        assert_eq!(end, Some(Err(ReadError::SourceBroke)));
    }
}
