//! One payload on its way to the object store: by one request, or in parts that the journal knows of.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use towpath_event::{Digest, PayloadId};

use super::bucket::{Bucket, insist, unavailable};
use super::journal::Upload as Journalled;
use super::settings::MOST_PARTS;
use crate::StoreError;
use crate::remote::{Part, Upload};

/// The upload of one payload.
pub(super) struct ObjectUpload {
    bucket: Arc<Bucket>,
    id: PayloadId,
    path: Path,
    /// Begun with the first part that is not the only one. Its task runs on when nobody waits, so that no upload begins
    /// unknown to the journal.
    begun: Option<Begun>,
    parts: Arc<Mutex<BTreeMap<usize, PartId>>>,
    /// Whether the server failed in the middle of it.
    failed: Arc<AtomicBool>,
    /// Whether the object may be there.
    completing: bool,
}

type Begun = Shared<BoxFuture<'static, Result<Journalled, StoreError>>>;

impl ObjectUpload {
    pub(super) fn new(bucket: Arc<Bucket>, id: PayloadId) -> Self {
        Self {
            path: bucket.path(id),
            bucket,
            id,
            begun: None,
            parts: Arc::default(),
            failed: Arc::default(),
            completing: false,
        }
    }

    fn begun(&mut self) -> Begun {
        let begin = || {
            let begun = tokio::spawn(begin(Arc::clone(&self.bucket), self.path.clone()));
            let ended = |_| unavailable(&"the task of an upload has ended");
            begun
                .map(move |begun| begun.unwrap_or_else(|error| Err(ended(error))))
                .boxed()
                .shared()
        };
        self.begun.get_or_insert_with(begin).clone()
    }
}

impl ObjectUpload {
    async fn last(&self, last: Part, size: u64) -> Result<(), StoreError> {
        let s3 = &self.bucket.s3;
        let Some(begun) = self.begun.clone() else {
            let bytes = PutPayload::from_iter(last.bytes);
            let put = insist(|| s3.put(&self.path, bytes.clone())).await;
            return put.map(drop).map_err(|error| unavailable(&error));
        };
        let upload = begun.await?;
        put_part(&self.bucket, &self.path, &upload, &self.parts, last).await?;
        let parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
        let parts: Vec<_> = parts.into_values().collect();
        let complete = || s3.complete_multipart(&self.path, &upload.id, parts.clone());
        let completed = insist(complete).await;
        if let Err(error) = completed {
            // the answer may have been lost on its way, after all was done
            match s3.head(&self.path).await {
                Ok(meta) if meta.size == size => {}
                Ok(_) | Err(_) => return Err(unavailable(&error)),
            }
        }
        self.bucket.ended(upload).await;
        Ok(())
    }
}

/// Begins an upload in parts; it is in the journal before anybody can add a part to it.
async fn begin(bucket: Arc<Bucket>, path: Path) -> Result<Journalled, StoreError> {
    let id = bucket.s3.create_multipart(&path).await;
    let id = id.map_err(|error| unavailable(&error))?;
    let upload = Journalled {
        key: path.to_string(),
        id,
    };
    if let Some(journal) = &bucket.journal
        && let Err(error) = journal.began(upload.clone()).await
    {
        bucket.abort(upload, false).await;
        return Err(unavailable(&format!("the journal of uploads: {error}")));
    }
    Ok(upload)
}

async fn put_part(
    bucket: &Bucket,
    path: &Path,
    upload: &Journalled,
    parts: &Mutex<BTreeMap<usize, PartId>>,
    part: Part,
) -> Result<(), StoreError> {
    let number = part.number;
    if number >= MOST_PARTS {
        let text = format!("a payload has at most {MOST_PARTS} parts of store.object.partBytes");
        return Err(unavailable(&text));
    }
    let bytes = PutPayload::from_iter(part.bytes);
    let stored = bucket.s3.put_part(path, &upload.id, number, bytes).await;
    let stored = stored.map_err(|error| unavailable(&error))?;
    parts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(number, stored);
    Ok(())
}

impl Upload for ObjectUpload {
    fn part(&mut self, part: Part) -> BoxFuture<'static, Result<(), StoreError>> {
        let begun = self.begun();
        let (bucket, path) = (Arc::clone(&self.bucket), self.path.clone());
        let (parts, failed) = (Arc::clone(&self.parts), Arc::clone(&self.failed));
        Box::pin(async move {
            let stored = put_part(&bucket, &path, &begun.await?, &parts, part).await;
            failed.fetch_or(stored.is_err(), Ordering::Relaxed);
            stored
        })
    }

    fn complete(
        &mut self,
        last: Part,
        size: u64,
        _digest: Option<Digest>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.completing = true;
            let stored = self.last(last, size).await;
            self.failed.fetch_or(stored.is_err(), Ordering::Relaxed);
            stored
        })
    }

    fn abort(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Some(begun) = self.begun.take()
                && let Ok(upload) = begun.await
            {
                let doubt = self.failed.load(Ordering::Relaxed);
                self.bucket.abort(upload, doubt).await;
            }
            if self.completing {
                let deleted = self.bucket.delete(self.id).await;
                if let Err(error) = deleted {
                    tracing::warn!(id = %self.id, %error, "a broken payload is left to the sweep");
                }
            }
        })
    }
}
