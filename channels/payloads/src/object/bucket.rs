//! The bucket behind the object store: the client, and every question that is asked of the server.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error, GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt, RetryConfig,
};
use towpath_event::{ClaimCheck, PayloadId, Place, ReadError};

use super::http;
use super::journal::{Journal, Upload as Journalled};
use super::settings::{S3Credentials, S3Settings};
use crate::remote::{Account, Rests};
use crate::{OpenError, StoreError, Tier};

/// How often a request that failed is tried again.
const RETRIES: usize = 4;
/// Longest text of the client's errors that is passed on, in bytes: some hold whole documents.
const REASON: usize = 500;

/// The bucket with what lies around it.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) s3: AmazonS3,
    /// `<prefix>/<store id>`.
    pub(super) folder: Path,
    pub(super) name: Arc<str>,
    pub(super) journal: Option<Journal>,
    pub(super) account: Arc<Account>,
}

pub(super) fn client(
    settings: &S3Settings,
    bucket: &str,
    connector: http::Connector,
) -> Result<AmazonS3, OpenError> {
    let plain = settings.endpoint.as_deref();
    let plain = plain.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!settings.path_style)
        .with_allow_http(settings.allow_http)
        // TLS says already whether the bytes came as they were sent
        .with_unsigned_payload(!plain)
        .with_http_connector(connector)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES,
            retry_timeout: settings.patience,
        });
    if let Some(endpoint) = settings.endpoint_of(bucket) {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let S3Credentials::Key { id, secret } = &settings.credentials {
        builder = builder
            .with_access_key_id(id)
            .with_secret_access_key(secret);
    }
    let client = builder.build();
    client.map_err(|error| OpenError::Client(error.to_string().into()))
}

impl Bucket {
    pub(super) fn path(&self, id: PayloadId) -> Path {
        self.folder.clone().join(id.to_string())
    }

    pub(super) async fn delete(&self, id: PayloadId) -> Result<(), StoreError> {
        match self.s3.delete(&self.path(id)).await {
            Ok(()) | Err(Error::NotFound { .. }) => {
                self.account.gone(id);
                Ok(())
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    pub(super) async fn try_abort(&self, upload: &Journalled) -> Result<(), StoreError> {
        let path = Path::parse(&upload.key).map_err(|error| unavailable(&error))?;
        match self.s3.abort_multipart(&path, &upload.id).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Aborts an upload now, or leaves it to [`S3Store::recover`](super::S3Store::recover). In doubt both: a server that
    /// has just failed may answer, while it starts, that all is well with an upload that it does not know of yet.
    pub(super) async fn abort(&self, upload: Journalled, doubt: bool) {
        match self.try_abort(&upload).await {
            Ok(()) if !doubt => return self.ended(upload).await,
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(key = upload.key, %error, "an upload could not be aborted");
            }
        }
        if let Some(journal) = &self.journal {
            journal.left(upload);
        }
    }

    pub(super) async fn ended(&self, upload: Journalled) {
        if let Some(journal) = &self.journal
            && let Err(error) = journal.ended(upload).await
        {
            tracing::warn!(%error, "the journal of uploads cannot be written");
        }
    }

    async fn get(&self, claim: &ClaimCheck, range: Range<u64>) -> Result<GetResult, ReadError> {
        let path = self.path(claim.id);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        match self.s3.get_opts(&path, options).await {
            Ok(got) => size_is(claim, got.meta.size).map(|()| got),
            Err(Error::NotFound { .. }) => Err(ReadError::Missing(claim.to_string().into())),
            // a range beyond the end is refused, so that the size comes first in what went wrong
            Err(error) => match self.s3.head(&path).await {
                Ok(meta) => Err(size_is(claim, meta.size)
                    .err()
                    .unwrap_or_else(|| store(&error))),
                Err(_) => Err(store(&error)),
            },
        }
    }
}

impl Rests for Bucket {
    fn place(&self) -> Place {
        Place::Object(Arc::clone(&self.name))
    }

    fn open(
        self: Arc<Self>,
        claim: ClaimCheck,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, ReadError>> {
        // the connection's own window is the read-ahead
        let opened = async move {
            let got = self.get(&claim, range).await?;
            Ok(got.into_stream().map_err(|error| store(&error)))
        };
        Box::pin(stream::once(opened).try_flatten())
    }

    fn erase(self: Arc<Self>, id: PayloadId) -> BoxFuture<'static, Result<(), StoreError>> {
        Box::pin(async move { self.delete(id).await })
    }
}

/// Makes a request that brings an object into being, and once more if it is denied: MinIO denies an object that comes at
/// the moment when it removes the folder of the last one before it. Where access is really denied, it is denied twice.
pub(super) async fn insist<T, F>(mut request: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    match request().await {
        Err(Error::PermissionDenied { .. }) => request().await,
        outcome => outcome,
    }
}

pub(super) fn same_size(claim: &ClaimCheck, size: u64) -> Result<(), StoreError> {
    Ok(size_is(claim, size)?)
}

fn size_is(claim: &ClaimCheck, size: u64) -> Result<(), ReadError> {
    if size == claim.size {
        return Ok(());
    }
    let text = format!("{claim} has {size} bytes");
    Err(ReadError::Damaged(text.into()))
}

pub(super) fn missing(claim: &ClaimCheck, error: &Error) -> StoreError {
    match error {
        Error::NotFound { .. } => ReadError::Missing(claim.to_string().into()).into(),
        error => unavailable(error),
    }
}

pub(super) fn unavailable(error: &dyn Display) -> StoreError {
    StoreError::Unavailable {
        tier: Tier::Object,
        reason: reason(error),
    }
}

fn store(error: &Error) -> ReadError {
    ReadError::Store(reason(error))
}

fn reason(error: &dyn Display) -> Box<str> {
    let mut text = error.to_string();
    if text.len() > REASON {
        let end = (0..=REASON).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
    }
    text.into()
}
