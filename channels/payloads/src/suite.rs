//! The suite that defines a payload store: every store passes these checks, against `&dyn PayloadStore`.
//!
//! Each function panics with what does not hold. A store's own test calls [`all`] with an empty store that nobody
//! else uses and that has room for at least 64 MiB, and [`full`] with one that has [`SMALL_ROOM`], if it has a bound
//! of its own.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests, shared by several stores"
)]

mod tools;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use towpath_event::{ClaimCheck, PayloadId, Place, Progress, ReadError};

use crate::{Draw, Life, PayloadStore, StoreError};
use tools::{
    bytes, cut, eventually, listed, new, next, ns, read, read_range, stored, within, write,
};

/// What differs between stores.
#[derive(Debug, Clone, Copy)]
pub struct Traits {
    /// What has come can be read before the payload is complete.
    pub early: bool,
}

/// The room of the store that [`full`] is called with, in bytes.
pub const SMALL_ROOM: u64 = 1 << 20;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Runs every check but [`full`], one after another, on one store.
pub async fn all(store: &dyn PayloadStore, traits: Traits) {
    gives_back_what_it_took(store).await;
    reads_parts(store).await;
    serves_readers_while_it_grows(store, traits).await;
    serves_readers_who_come_late(store).await;
    takes_a_length_that_nobody_knows(store).await;
    breaks_with_its_writer(store, traits).await;
    counts_the_bytes(store).await;
    deletes_what_nobody_holds(store).await;
    finds_what_is_kept(store).await;
    refuses_claims_that_are_not_true(store).await;
    links_have_their_own_life(store).await;
    tells_what_rests_in_it(store).await;
}

/// Any size comes back as it went in, however it was cut.
pub async fn gives_back_what_it_took(store: &dyn PayloadStore) {
    for size in [0, 1, 64 * KIB, MIB + 1, 5 * MIB] {
        for piece in [16 * KIB, 2 * MIB] {
            let whole = bytes(size);
            let payload = stored(store, &whole, piece, Life::Held).await;
            assert_eq!(payload.size(), size as u64);
            assert_eq!(payload.progress(), Progress::Complete);
            let claim = payload.claim();
            assert_eq!(claim.size, size as u64);
            assert!(store.holds(&claim.place), "{claim}");
            assert_eq!(claim.to_string().parse(), Ok(claim));
            assert!(read(&payload).await.unwrap() == whole, "{size} bytes");
        }
    }
}

/// Parts of a payload, also by several readers at once.
pub async fn reads_parts(store: &dyn PayloadStore) {
    let size = 2 * MIB + 17;
    let whole = bytes(size);
    let payload = stored(store, &whole, 100 * KIB, Life::Held).await;
    let parts = [
        0..0,
        0..1,
        size - 1..size,
        size..size,
        MIB - 1..MIB + 1,
        17..size - 17,
        300 * KIB + 5..1500 * KIB,
        0..size,
    ];
    let readers = parts.iter().map(|part| read_range(&payload, part.clone()));
    let all = futures_util::future::join_all(readers).await;
    for (part, got) in parts.iter().zip(all) {
        assert!(got.unwrap() == whole[part.clone()], "bytes {part:?}");
    }
}

/// Readers who begin while the payload is written get all of it, and at once if the store can do that.
pub async fn serves_readers_while_it_grows(store: &dyn PayloadStore, traits: Traits) {
    let whole = bytes(3 * MIB + 5);
    let mut writer = within(store.create(new(&ns(), Some(whole.len()), Life::Held)))
        .await
        .unwrap();
    let payload = Arc::clone(writer.payload());
    assert_eq!(payload.progress(), Progress::Growing);
    assert_eq!(payload.size(), whole.len() as u64);
    assert!(
        payload.completed().now_or_never().is_none(),
        "not before the end"
    );
    let mut early = Arc::clone(&payload).read(0..whole.len() as u64);
    let late = tokio::spawn({
        let payload = Arc::clone(&payload);
        async move { read_range(&payload, MIB..3 * MIB + 5).await }
    });
    let mut came = Vec::new();
    for piece in cut(&whole, 64 * KIB) {
        within(writer.write(piece.clone())).await.unwrap();
        if traits.early {
            let end = came.len() + piece.len();
            while came.len() < end {
                came.extend_from_slice(&next(&mut *early).await.unwrap().unwrap());
            }
        }
    }
    let finished = within(writer.finish()).await.unwrap();
    assert_eq!(finished.claim().id, payload.claim().id);
    assert_eq!(finished.progress(), Progress::Complete);
    within(payload.completed()).await.unwrap();
    while let Some(chunk) = next(&mut *early).await {
        came.extend_from_slice(&chunk.unwrap());
    }
    assert!(came == whole, "the reader that kept up");
    assert!(
        within(late).await.unwrap().unwrap() == whole[MIB..],
        "the reader that waited"
    );
}

/// Readers who begin when much has come already, and readers who are slow, get all of it.
pub async fn serves_readers_who_come_late(store: &dyn PayloadStore) {
    let whole = bytes(6 * MIB);
    let mut writer = within(store.create(new(&ns(), Some(whole.len()), Life::Held)))
        .await
        .unwrap();
    let payload = Arc::clone(writer.payload());
    let mut readers = Vec::new();
    for (i, piece) in cut(&whole, 100 * KIB).into_iter().enumerate() {
        within(writer.write(piece)).await.unwrap();
        if i % 10 == 3 {
            let from = i * 37 * KIB;
            let reader = Arc::clone(&payload);
            let to = whole.len();
            let got = tokio::spawn(async move { read_range(&reader, from..to).await });
            readers.push((from, got));
        }
    }
    within(writer.finish()).await.unwrap();
    for (from, got) in readers {
        let got = within(got).await.unwrap().unwrap();
        assert!(got == whole[from..], "from {from}");
    }
}

/// A payload without an announced length has the length of what came.
pub async fn takes_a_length_that_nobody_knows(store: &dyn PayloadStore) {
    let whole = bytes(MIB + 3);
    let mut writer = within(store.create(new(&ns(), None, Life::Kept)))
        .await
        .unwrap();
    for piece in cut(&whole, 64 * KIB) {
        within(writer.write(piece)).await.unwrap();
    }
    let payload = within(writer.finish()).await.unwrap();
    assert_eq!(payload.claim().size, whole.len() as u64);
    assert!(read(&payload).await.unwrap() == whole);
    within(store.delete(payload.claim().id)).await.unwrap();
}

/// A writer that is dropped breaks its payload: readers are told, and nothing is left.
pub async fn breaks_with_its_writer(store: &dyn PayloadStore, traits: Traits) {
    for life in [Life::Held, Life::Kept] {
        let whole = bytes(MIB);
        let mut writer = within(store.create(new(&ns(), Some(2 * MIB), life)))
            .await
            .unwrap();
        let payload = Arc::clone(writer.payload());
        let id = payload.claim().id;
        let mut reader = Arc::clone(&payload).read(0..2 * MIB as u64);
        within(writer.write(whole.clone())).await.unwrap();
        if traits.early {
            let first = next(&mut *reader).await.unwrap().unwrap();
            assert!(whole.starts_with(&first));
        }
        drop(writer);
        let broke = loop {
            match next(&mut *reader).await.expect("no end before the end") {
                Ok(chunk) => assert!(!chunk.is_empty()),
                Err(error) => break error,
            }
        };
        assert_eq!(broke, ReadError::SourceBroke);
        assert_eq!(payload.progress(), Progress::Broken);
        assert_eq!(
            within(payload.completed()).await,
            Err(ReadError::SourceBroke)
        );
        assert_eq!(payload.file(), None);
        drop((reader, payload));
        eventually("nothing is left", async || !listed(store, id).await).await;
    }
}

/// More or fewer bytes than announced break the payload.
pub async fn counts_the_bytes(store: &dyn PayloadStore) {
    for came in [99_999, 100_001] {
        let mut writer = within(store.create(new(&ns(), Some(100_000), Life::Held)))
            .await
            .unwrap();
        let payload = Arc::clone(writer.payload());
        let id = payload.claim().id;
        let mut refused = Ok(());
        for piece in cut(&bytes(came), 50_000) {
            if refused.is_ok() {
                refused = within(writer.write(piece)).await;
            }
        }
        let refused = match refused {
            Ok(()) => within(writer.finish()).await.map(drop),
            Err(error) => {
                drop(writer);
                Err(error)
            }
        };
        let announced = 100_000;
        let length = StoreError::Length {
            announced,
            came: came as u64,
        };
        assert_eq!(refused, Err(length));
        assert_eq!(payload.progress(), Progress::Broken);
        drop(payload);
        eventually("nothing is left", async || !listed(store, id).await).await;
    }
}

/// A held payload goes with the last handle to it, not before, and whoever reads it has a handle.
pub async fn deletes_what_nobody_holds(store: &dyn PayloadStore) {
    let whole = bytes(2 * MIB);
    let payload = stored(store, &whole, 64 * KIB, Life::Held).await;
    let id = payload.claim().id;
    assert!(listed(store, id).await);
    assert!(store.in_use(id));
    let again = Arc::clone(&payload);
    let mut reader = again.read(0..whole.len() as u64);
    let mut came = next(&mut *reader).await.unwrap().unwrap().to_vec();
    drop(payload);
    while let Some(chunk) = next(&mut *reader).await {
        came.extend_from_slice(&chunk.unwrap());
    }
    assert!(came == whole, "the reader is not disturbed");
    drop(reader);
    eventually("it is gone", async || !listed(store, id).await).await;
    assert!(!store.in_use(id));
}

/// A kept payload stays without a handle, is found by its claim, and goes when it is deleted; twice is no error.
pub async fn finds_what_is_kept(store: &dyn PayloadStore) {
    let whole = bytes(MIB + 7);
    let claim = stored(store, &whole, 64 * KIB, Life::Kept).await.claim();
    assert!(listed(store, claim.id).await, "kept without a handle");
    eventually("nobody uses it", async || !store.in_use(claim.id)).await;
    let claim: ClaimCheck = claim.to_string().parse().unwrap();
    let found = within(store.find(&claim)).await.unwrap();
    assert!(store.in_use(claim.id));
    assert_eq!(found.claim(), claim);
    assert_eq!(found.progress(), Progress::Complete);
    assert!(read(&found).await.unwrap() == whole);
    assert_eq!(
        read_range(&found, 5..9).await.unwrap(),
        whole.slice(5..9).to_vec()
    );
    drop(found);
    let found = within(store.find(&claim)).await.unwrap();
    drop(found);
    within(store.delete(claim.id)).await.unwrap();
    within(store.delete(claim.id)).await.unwrap();
    let gone = within(store.find(&claim)).await.unwrap_err();
    assert!(
        matches!(gone, StoreError::Read(ReadError::Missing(_))),
        "{gone}"
    );
    eventually("it is gone", async || !listed(store, claim.id).await).await;
}

/// A claim with another size is damaged, one that names nothing is missing, and places are told apart.
pub async fn refuses_claims_that_are_not_true(store: &dyn PayloadStore) {
    let claim = stored(store, &bytes(1000), 1000, Life::Kept).await.claim();
    for size in [0, 999, 1001, u64::MAX] {
        let other = ClaimCheck {
            size,
            ..claim.clone()
        };
        let refused = within(store.find(&other)).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Read(ReadError::Damaged(_))),
            "{size}: {refused}"
        );
    }
    let nothing = ClaimCheck {
        id: PayloadId::from_bytes([7; 16]),
        ..claim.clone()
    };
    for refused in [
        within(store.find(&nothing)).await.unwrap_err(),
        within(store.link(&nothing)).await.unwrap_err(),
    ] {
        assert!(
            matches!(refused, StoreError::Read(ReadError::Missing(_))),
            "{refused}"
        );
    }
    for place in ["node:elsewhere", "object:elsewhere", "nats:elsewhere"] {
        assert!(!store.holds(&place.parse::<Place>().unwrap()), "{place}");
    }
    within(store.delete(claim.id)).await.unwrap();
}

/// A link has an id of its own; either of the two can go first.
pub async fn links_have_their_own_life(store: &dyn PayloadStore) {
    let whole = bytes(MIB + 9);
    for first_goes in [true, false] {
        let first = stored(store, &whole, 64 * KIB, Life::Kept).await.claim();
        let second = within(store.link(&first)).await.unwrap().claim();
        assert_ne!(first.id, second.id);
        assert_eq!(first.size, second.size);
        let (gone, left) = if first_goes {
            (first, second)
        } else {
            (second, first)
        };
        within(store.delete(gone.id)).await.unwrap();
        within(store.find(&gone)).await.unwrap_err();
        let found = within(store.find(&left)).await.unwrap();
        assert!(read(&found).await.unwrap() == whole);
        let third = within(store.link(&left)).await.unwrap();
        drop(found);
        within(store.delete(left.id)).await.unwrap();
        assert!(read(&third).await.unwrap() == whole, "a link of a link");
        within(store.delete(third.claim().id)).await.unwrap();
        drop(third);
        for id in [gone.id, left.id] {
            eventually("both are gone", async || !listed(store, id).await).await;
        }
    }
}

/// Usage and list say what is there; no two payloads have one id.
pub async fn tells_what_rests_in_it(store: &dyn PayloadStore) {
    eventually("it is empty", async || store.usage().objects == 0).await;
    assert_eq!(store.usage().bytes, 0);
    assert_eq!(store.usage().oldest, None);
    let mut payloads = Vec::new();
    for i in 0..20 {
        let life = if i % 2 == 0 { Life::Held } else { Life::Kept };
        payloads.push(stored(store, &bytes(1000 + i), 500, life).await);
    }
    let usage = store.usage();
    assert_eq!(usage.objects, 20);
    assert_eq!(usage.bytes, (1000..1020).sum::<u64>());
    assert!(usage.oldest.is_some());
    let mut ids: Vec<_> = payloads.iter().map(|payload| payload.claim().id).collect();
    for (i, id) in ids.iter().enumerate() {
        let entry = tools::entry(store, *id).await.expect("it is listed");
        assert_eq!(entry.bytes, 1000 + i as u64);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20, "every id once");
    drop(payloads);
    for id in ids {
        within(store.delete(id)).await.unwrap();
    }
    eventually("it is empty again", async || store.usage().objects == 0).await;
}

/// A store of [`SMALL_ROOM`] bytes says when it is full, keeps a quarter for replies, and has room again when a
/// payload goes.
pub async fn full(store: &dyn PayloadStore) {
    let quarter = usize::try_from(SMALL_ROOM / 4).unwrap();
    let ns = ns();
    let mut held = stored(store, &bytes(3 * quarter), 64 * KIB, Life::Held).await;
    for length in [Some(1), Some(usize::MAX / 2)] {
        let refused = within(store.create(new(&ns, length, Life::Held))).await;
        let refused = refused.map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Full(_)), "{refused}");
    }
    let mut open = within(store.create(new(&ns, None, Life::Held)))
        .await
        .unwrap();
    let refused = within(open.write(Bytes::from_static(b"x"))).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert_eq!(open.payload().progress(), Progress::Broken);
    drop(open);
    for _ in 0..2 {
        let reply = crate::New {
            draw: Draw::Reply,
            ..new(&ns, Some(quarter), Life::Held)
        };
        let reply = write(store, reply, &bytes(quarter), 64 * KIB).await;
        let refused = within(store.link(&reply.claim())).await.unwrap_err();
        assert!(matches!(refused, StoreError::Full(_)), "{refused}");
        drop(reply);
        drop(held);
        eventually("there is room again", async || store.usage().bytes == 0).await;
        held = stored(store, &bytes(3 * quarter), 64 * KIB, Life::Held).await;
    }
}
