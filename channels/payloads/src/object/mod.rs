//! Payloads as objects in S3 and kin: `<prefix>/<store id>/<payload id>`.

mod bucket;
mod http;
mod journal;
mod settings;
mod upload;

pub use settings::{S3Credentials, S3Settings};

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use towpath_event::{ClaimCheck, PayloadId, Place, SetAside};

use crate::remote::{Account, Behind, RemotePayload, RemoteWriter, Rests, Uploading, tls};
use crate::{
    Budget, Draw, Life, Listed, New, OpenError, PayloadStore, StoreError, Tier, Usage, Writer,
    new_id,
};
use bucket::{Bucket, client, insist, missing, same_size, unavailable};
use journal::Journal;
use upload::ObjectUpload;

/// Most bytes that S3 copies by one request.
const LARGEST_COPY: u64 = 5 << 30;

/// The object store. Payloads are complete before anybody can read them, and survive this process.
#[derive(Debug)]
pub struct S3Store {
    bucket: Arc<Bucket>,
    behind: Behind,
    budget: Budget,
    part_bytes: usize,
    parts_in_flight: usize,
    digest: bool,
}

impl S3Store {
    /// Opens the store; nothing is asked of the server. `store_id` sets the payloads of this installation apart from
    /// those of others in the bucket: 1 to 64 letters, digits, `-`, `_` and `.`, the same for all its gateways. The
    /// memory of parts on their way is taken from `budget`. Must be called within a runtime.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(settings: &S3Settings, store_id: &str, budget: Budget) -> Result<Self, OpenError> {
        let bucket = settings.bucket()?;
        if !towpath_event::is_store_name(store_id) {
            let why = "an id is 1 to 64 letters, digits, `-`, `_` and `.`";
            return Err(OpenError::setting("the store id", &store_id, why));
        }
        let begin = |folder: &PathBuf| {
            let failed = |source| OpenError::file("the journal of uploads", folder, source);
            Journal::begin(folder).map_err(failed)
        };
        let journal = settings.journal.as_ref().map(begin).transpose()?;
        let tls = tls("store.object.caFile", settings.ca_file.as_deref())?;
        let connector = http::Connector::new(tls, settings.patience);
        let account = Arc::new(Account::default());
        let parts = bucket.prefix.split('/').chain([store_id]);
        let bucket = Arc::new(Bucket {
            folder: parts.filter(|part| !part.is_empty()).collect(),
            s3: client(settings, bucket.name, connector)?,
            name: settings.name.as_str().into(),
            journal,
            account: Arc::clone(&account),
        });
        Ok(Self {
            behind: Behind::start(Arc::clone(&bucket) as Arc<dyn Rests>, account),
            bucket,
            budget,
            part_bytes: settings.part_bytes,
            parts_in_flight: settings.parts_in_flight,
            digest: settings.digest,
        })
    }

    /// Aborts the uploads that processes of this journal directory left behind when they died, and those that could
    /// not be aborted before. Gives their number. To be called at the start and with every sweep.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; what is left is found again by the next call.
    pub async fn recover(&self) -> Result<u64, StoreError> {
        let Some(journal) = &self.bucket.journal else {
            return Ok(0);
        };
        let mut aborted = 0;
        for upload in journal.leftovers() {
            self.bucket.try_abort(&upload).await?;
            self.bucket.ended(upload).await;
            aborted += 1;
        }
        let disk = |error| unavailable(&format!("the journal of uploads: {error}"));
        for orphan in journal.orphans().await.map_err(disk)? {
            for upload in &orphan.open {
                self.bucket.try_abort(upload).await?;
                aborted += 1;
            }
            orphan.remove().await.map_err(disk)?;
        }
        Ok(aborted)
    }

    fn found(&self, claim: &ClaimCheck) -> Arc<dyn SetAside> {
        RemotePayload::found(claim, &self.behind)
    }

    /// A second payload for one that is too long to be copied by the server.
    async fn copy_through(&self, claim: &ClaimCheck) -> Result<Arc<dyn SetAside>, StoreError> {
        let new = New {
            namespace: &Arc::from("towpath"),
            draw: Draw::Reply,
            length: Some(claim.size),
            life: Life::Kept,
            as_file: false,
        };
        let mut writer = self.create(new).await?;
        let mut reader = self.found(claim).read(0..claim.size);
        while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).await {
            writer.write(chunk?).await?;
        }
        writer.finish().await
    }
}

impl PayloadStore for S3Store {
    fn tier(&self) -> Tier {
        Tier::Object
    }

    fn holds(&self, place: &Place) -> bool {
        *place == self.bucket.place()
    }

    fn create<'a>(&'a self, new: New<'a>) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>> {
        Box::pin(async move {
            let most = (self.part_bytes as u64).saturating_mul(settings::MOST_PARTS as u64);
            if let Some(length) = new.length.filter(|length| *length > most) {
                let text = format!(
                    "{length} bytes are more than {} parts of {} bytes: raise store.object.partBytes",
                    settings::MOST_PARTS,
                    self.part_bytes
                );
                return Err(unavailable(&text));
            }
            let parts = (self.parts_in_flight as u64).saturating_add(1);
            let memory = parts.saturating_mul(self.part_bytes as u64);
            let memory = new.length.map_or(memory, |length| length.min(memory));
            let lease = self.budget.take(new.namespace, new.draw, memory)?;
            let id = new_id();
            let uploading = Uploading {
                tier: Tier::Object,
                payload: RemotePayload::growing(id, new.length, new.life, &self.behind),
                digest: self.digest,
                part_bytes: self.part_bytes,
                in_flight: self.parts_in_flight,
                lease,
            };
            let upload = ObjectUpload::new(Arc::clone(&self.bucket), id);
            Ok(RemoteWriter::begin(uploading, upload))
        })
    }

    fn find<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move {
            let meta = self.bucket.s3.head(&self.bucket.path(claim.id)).await;
            let meta = meta.map_err(|error| missing(claim, &error))?;
            same_size(claim, meta.size)?;
            Ok(self.found(claim))
        })
    }

    fn link<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move {
            self.find(claim).await?;
            if claim.size > LARGEST_COPY {
                return self.copy_through(claim).await;
            }
            let id = new_id();
            let (from, to) = (self.bucket.path(claim.id), self.bucket.path(id));
            let copied = insist(|| self.bucket.s3.copy(&from, &to)).await;
            copied.map_err(|error| missing(claim, &error))?;
            self.bucket.account.takes(id, claim.size);
            let second = ClaimCheck {
                id,
                ..claim.clone()
            };
            Ok(self.found(&second))
        })
    }

    fn delete(&self, id: PayloadId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.bucket.delete(id))
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StoreError>> {
        let mut unseen = self.bucket.account.unseen();
        let listed = self.bucket.s3.list(Some(&self.bucket.folder));
        // ends at the first error: what follows it would not be the whole list
        let mut listed = listed.fuse();
        Box::pin(stream::poll_fn(move |cx| {
            loop {
                let Some(meta) = std::task::ready!(listed.poll_next_unpin(cx)) else {
                    self.bucket.account.listed(&unseen);
                    return None.into();
                };
                let meta = match meta {
                    Ok(meta) => meta,
                    Err(error) => return Some(Err(unavailable(&error))).into(),
                };
                // what is not named like a payload is not ours
                let name = meta.location.filename().unwrap_or_default();
                if let Ok(id) = name.parse()
                    && meta.location == self.bucket.path(id)
                {
                    unseen.seen(id);
                    return Some(Ok(Listed {
                        id,
                        bytes: meta.size,
                        written: meta.last_modified.into(),
                    }))
                    .into();
                }
            }
        }))
    }

    fn in_use(&self, id: PayloadId) -> bool {
        self.bucket.account.in_use(id)
    }

    fn usage(&self) -> Usage {
        self.bucket.account.usage()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use object_store::multipart::MultipartStore;
    use towpath_harness::TestResult;
    use towpath_harness::servers::{S3, S3_BUCKET, S3_KEY, S3_REGION, S3_SECRET};

    use super::*;
    use crate::BudgetSettings;

    fn open(s3: &S3, journal: Option<PathBuf>) -> Result<S3Store, OpenError> {
        let settings = S3Settings {
            name: "main".into(),
            url: format!("s3://{S3_BUCKET}"),
            endpoint: Some(s3.endpoint()),
            region: Some(S3_REGION.into()),
            path_style: true,
            allow_http: true,
            ca_file: None,
            credentials: S3Credentials::Key {
                id: S3_KEY.into(),
                secret: S3_SECRET.into(),
            },
            part_bytes: 5 << 20,
            parts_in_flight: 1,
            patience: Duration::from_secs(5),
            digest: true,
            journal,
        };
        let bounds = BudgetSettings {
            total: "limits.bytesInFlight",
            per_namespace: "limits.bytesInFlightPerNamespace",
        };
        let budget = Budget::new(64 << 20, 64 << 20, bounds);
        S3Store::open(&settings, "installation", budget)
    }

    #[tokio::test]
    async fn an_upload_whose_server_failed_is_aborted_again() -> TestResult {
        let s3 = S3::start().await?;
        let folder = tempfile::tempdir()?;
        let store = open(&s3, Some(folder.path().to_owned()))?;
        let path = store.bucket.path(new_id());
        let upload = journal::Upload {
            key: path.to_string(),
            id: store.bucket.s3.create_multipart(&path).await?,
        };
        let journal = store.bucket.journal.clone().expect("a journal");
        journal.began(upload.clone()).await?;
        store.bucket.abort(upload.clone(), true).await;
        assert_eq!(journal.leftovers(), std::slice::from_ref(&upload));
        assert_eq!(store.recover().await, Ok(1));
        assert_eq!(journal.leftovers(), []);
        store.bucket.abort(upload, false).await;
        assert_eq!(journal.leftovers(), []);
        Ok(())
    }

    #[tokio::test]
    async fn what_the_server_does_not_copy_is_read_and_written() -> TestResult {
        let s3 = S3::start().await?;
        let store = open(&s3, None)?;
        let data = Bytes::from(vec![7; 6 << 20]);
        let new = New {
            namespace: &Arc::from("tests"),
            draw: Draw::Door,
            length: Some(data.len() as u64),
            life: Life::Kept,
            as_file: false,
        };
        let mut writer = store.create(new).await?;
        writer.write(data.clone()).await?;
        let first = writer.finish().await?.claim();
        let second = store.copy_through(&first).await?;
        store.delete(first.id).await?;
        assert_eq!(second.claim().digest, first.digest);
        assert_ne!(second.claim().id, first.id);
        let mut reader = Arc::clone(&second).read(0..second.size());
        let mut came = 0;
        while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).await {
            came += chunk?.len();
        }
        assert_eq!(came, data.len());
        Ok(())
    }
}
