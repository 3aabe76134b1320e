//! Reads a payload: from memory what is there, from the page cache at once, from disk on another thread.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;
use towpath_event::{Progress, Read, ReadError, SetAside};

use super::buffers::{Buffer, LARGE};
use super::payload::NodePayload;
use super::window::Where;

pub(super) struct NodeReader {
    payload: Arc<NodePayload>,
    /// What is still to be read.
    range: Range<u64>,
    /// Bytes on their way from the disk.
    coming: Option<JoinHandle<io::Result<Bytes>>>,
}

impl NodeReader {
    pub(super) fn new(payload: Arc<NodePayload>, range: Range<u64>) -> Self {
        Self {
            payload,
            range,
            coming: None,
        }
    }

    /// Goes on after `bytes`, if these can be trusted.
    fn pass(&mut self, bytes: Bytes) -> Result<Bytes, ReadError> {
        // After they were read: a change before that shows.
        self.payload.check()?;
        if bytes.is_empty() {
            return Err(self.short());
        }
        self.range.start += bytes.len() as u64;
        Ok(bytes)
    }

    fn short(&self) -> ReadError {
        let text = format!(
            "{} ends after {} bytes",
            self.payload.claim(),
            self.range.start
        );
        ReadError::Damaged(text.into())
    }

    /// Reads from the file, bytes before `until`: at once if they are in the page cache.
    fn begin(&mut self, until: u64) -> io::Result<Option<Bytes>> {
        let at = self.range.start;
        let want = usize::try_from(until - at).unwrap_or(LARGE);
        let mut buffer = self.payload.store.buffers.take(want);
        let flags = ReadWriteFlags::NOWAIT;
        let mut space = [IoSliceMut::new(buffer.space())];
        match preadv2(self.payload.file()?, &mut space, at, flags) {
            Ok(read) => return Ok(Some(buffer.freeze(read))),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if self.payload.store.in_memory {
            return read_at(self.payload.file()?, buffer, at).map(Some);
        }
        // The payload, not its file alone: its pages count as long as anybody may use them.
        let payload = Arc::clone(&self.payload);
        self.coming = Some(tokio::task::spawn_blocking(move || {
            read_at(payload.file()?, buffer, at)
        }));
        Ok(None)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ReadError>> {
        loop {
            if let Some(coming) = &mut self.coming {
                let came = ready!(Pin::new(coming).poll(cx));
                self.coming = None;
                let bytes = came.map_err(io::Error::other).and_then(|read| read);
                return Poll::Ready(bytes.map_err(|e| store(&e)).and_then(|b| self.pass(b)));
            }
            ready!(self.payload.growth.poll_beyond(self.range.start, cx))?;
            match self.payload.window.find(&self.range) {
                Where::Here(bytes) => return Poll::Ready(self.pass(bytes)),
                Where::File(until) if until > self.range.start => {
                    if let Some(bytes) = self.begin(until).map_err(|error| store(&error))? {
                        return Poll::Ready(self.pass(bytes));
                    }
                }
                Where::File(_) => {
                    return Poll::Ready(Err(match self.payload.progress() {
                        Progress::Broken => ReadError::SourceBroke,
                        Progress::Growing | Progress::Complete => self.short(),
                    }));
                }
            }
        }
    }
}

impl Read for NodeReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.range.is_empty() {
            return Poll::Ready(None);
        }
        self.poll(cx).map(Some)
    }
}

fn read_at(file: &File, mut buffer: Buffer, at: u64) -> io::Result<Bytes> {
    let read = file.read_at(buffer.space(), at)?;
    Ok(buffer.freeze(read))
}

fn store(error: &io::Error) -> ReadError {
    ReadError::Store(error.to_string().into())
}
