//! What the tests of stores elsewhere share: known bytes, and writing and reading them.
#![allow(dead_code, reason = "each test uses its part of it")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use towpath_event::{Read, ReadError, SetAside};
use towpath_payloads::{
    Budget, BudgetSettings, Draw, Life, NatsSettings, NatsStore, New, PayloadStore, StoreError,
    Tier, Writer,
};

pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn budget(bytes: usize) -> Budget {
    let settings = BudgetSettings {
        total: "limits.bytesInFlight",
        per_namespace: "limits.bytesInFlightPerNamespace",
    };
    Budget::new(bytes as u64, bytes as u64, settings)
}

/// Bytes of one message in a nats store.
pub(crate) const NATS_CHUNK: usize = 128 << 10;

pub(crate) fn nats_settings(url: &str) -> NatsSettings {
    NatsSettings {
        bucket: "payloads".into(),
        url: url.into(),
        credentials_file: None,
        ca_file: None,
        chunk_bytes: NATS_CHUNK,
        acks_in_flight: 8,
        replicas: 1,
        max_bytes: None,
        ttl: Some(Duration::from_secs(3600)),
        patience: Duration::from_secs(2),
        digest: false,
    }
}

pub(crate) async fn open_nats(settings: &NatsSettings) -> anyhow::Result<NatsStore> {
    Ok(NatsStore::open(settings, "installation", budget(256 * MIB)).await?)
}

#[track_caller]
pub(crate) fn assert_unavailable<T>(outcome: Result<T, StoreError>, of: Tier) {
    match outcome {
        Err(StoreError::Unavailable { tier, .. }) => assert_eq!(tier, of),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

/// No two stretches of them are alike.
pub(crate) fn bytes(length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(length as u64);
    let mut made = vec![0; length];
    random.fill(&mut made);
    made.into()
}

pub(crate) async fn create(
    store: &dyn PayloadStore,
    length: Option<usize>,
    life: Life,
) -> Result<Box<dyn Writer>, StoreError> {
    create_for(Draw::Reply, store, length, life).await
}

pub(crate) async fn create_for(
    draw: Draw,
    store: &dyn PayloadStore,
    length: Option<usize>,
    life: Life,
) -> Result<Box<dyn Writer>, StoreError> {
    let new = New {
        namespace: &Arc::from("tests"),
        draw,
        length: length.map(|length| length as u64),
        life,
        as_file: false,
    };
    store.create(new).await
}

/// Writes all of it in pieces of 100 KiB.
pub(crate) async fn fill(writer: &mut dyn Writer, whole: &Bytes) -> Result<(), StoreError> {
    let mut rest = whole.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(100 << 10));
        writer.write(piece).await?;
    }
    Ok(())
}

pub(crate) async fn stored(
    store: &dyn PayloadStore,
    whole: &Bytes,
    life: Life,
) -> Result<Arc<dyn SetAside>, StoreError> {
    let mut writer = create(store, Some(whole.len()), life).await?;
    fill(&mut *writer, whole).await?;
    writer.finish().await
}

pub(crate) async fn next(reader: &mut dyn Read) -> Option<Result<Bytes, ReadError>> {
    poll_fn(|cx| reader.poll_chunk(cx)).await
}

pub(crate) async fn rest(mut reader: Box<dyn Read>) -> Result<Vec<u8>, ReadError> {
    let mut came = Vec::new();
    while let Some(chunk) = next(&mut *reader).await {
        came.extend_from_slice(&chunk?);
    }
    Ok(came)
}

pub(crate) async fn whole(payload: &Arc<dyn SetAside>) -> Result<Vec<u8>, ReadError> {
    rest(Arc::clone(payload).read(0..payload.size())).await
}
