//! Writes a payload: into memory at once, from there into its file on another thread.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use towpath_event::{Progress, ReadError, SetAside};

use super::payload::{NodePayload, unavailable};
use crate::intake::Intake;
use crate::{StoreError, Writer};

/// Most bytes that are pushed at once.
const PIECE: usize = 1 << 20;

pub(super) struct NodeWriter {
    payload: Arc<NodePayload>,
    /// The same, as others see it.
    shown: Arc<dyn SetAside>,
    intake: Intake,
    /// Whether room was taken for the whole payload already.
    room: bool,
}

impl NodeWriter {
    pub(super) fn new(payload: Arc<NodePayload>, length: Option<u64>, digest: bool) -> Self {
        Self {
            shown: Arc::clone(&payload) as Arc<dyn SetAside>,
            payload,
            intake: Intake::new(length, digest),
            room: length.is_some(),
        }
    }

    async fn take(&mut self, mut chunk: Bytes) -> Result<(), StoreError> {
        self.intake.take(&chunk)?;
        if !self.room {
            self.payload.share.grow(chunk.len() as u64)?;
        }
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(PIECE));
            poll_fn(|cx| self.payload.window.poll_room(cx)).await?;
            self.payload.store.dirty.take(piece.len()).await;
            self.push(piece);
        }
        Ok(())
    }

    fn push(&self, piece: Bytes) {
        let (came, begin) = self.payload.window.push(piece);
        self.payload.growth.advance(came);
        self.fly_if(begin);
    }

    fn fly_if(&self, begin: bool) {
        if begin {
            let payload = Arc::clone(&self.payload);
            tokio::task::spawn_blocking(move || {
                if let Err(why) = payload.fly() {
                    payload.break_off(why);
                }
            });
        }
    }

    async fn complete(&mut self) -> Result<(), StoreError> {
        let digest = self.intake.end()?;
        let rests = self.payload.window.is_resting();
        if !rests {
            self.fly_if(self.payload.window.hurry());
            poll_fn(|cx| self.payload.window.poll_idle(cx)).await?;
        }
        let came = self.payload.window.came();
        if came != self.intake.came() {
            // A write was given up in the middle.
            let announced = self.intake.came();
            return Err(StoreError::Length { announced, came });
        }
        if !rests {
            let payload = Arc::clone(&self.payload);
            let settled = tokio::task::spawn_blocking(move || payload.settle());
            settled
                .await
                .map_err(|error| unavailable("complete", &error.into()))??;
        }
        self.payload.store.table.complete(self.payload.id);
        self.payload.growth.finish(digest);
        if !rests {
            self.payload.window.end(Ok(()));
        }
        Ok(())
    }
}

impl Writer for NodeWriter {
    fn payload(&self) -> &Arc<dyn SetAside> {
        &self.shown
    }

    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let taken = self.take(chunk).await;
            if let Err(why) = &taken {
                self.payload.break_off(why.clone());
            }
            taken
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move {
            self.complete().await?;
            Ok(Arc::clone(&self.shown))
        })
    }
}

impl Drop for NodeWriter {
    fn drop(&mut self) {
        if self.payload.progress() == Progress::Growing {
            self.payload.break_off(ReadError::SourceBroke.into());
        }
    }
}
