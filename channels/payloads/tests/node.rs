//! The node store passes the suite, and keeps its promises about files, restarts and bounds.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use common::{bytes, close, files, new, node, ns, read, stored};
use towpath_event::ReadError;
use towpath_payloads::suite::{self, SMALL_ROOM, Traits};
use towpath_payloads::{Draw, Life, NodeStore, PayloadStore, StoreError};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    for (dirty_bytes, digest) in [(64 * MIB, true), (2 * MIB, false)] {
        let dir = tempfile::tempdir().unwrap();
        let store = NodeStore::open(dir.path(), common::quota(128 * MIB), dirty_bytes, digest);
        let store = store.unwrap();
        suite::all(&store, Traits { early: true }).await;
        close(dir.path(), store).await;
        assert_eq!(files(dir.path()), 0, "nothing is left");
    }
}

#[tokio::test]
async fn passes_the_suite_in_memory() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = node(dir.path(), 128 * MIB);
    suite::all(&store, Traits { early: true }).await;
}

#[tokio::test]
async fn says_when_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    suite::full(&node(dir.path(), SMALL_ROOM)).await;
}

#[tokio::test]
async fn is_found_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let whole = bytes(3 << 20);
    let store = node(dir.path(), 100 * MIB);
    let ids = store.store_ids();
    let kept = stored(&store, &whole, Life::Kept).await.claim();
    let link = store.link(&kept).await.unwrap().claim();
    drop(stored(&store, &whole, Life::Held).await);
    close(dir.path(), store).await;

    let store = node(dir.path(), 100 * MIB);
    assert_eq!(store.store_ids(), ids, "the same store");
    assert_eq!(files(dir.path()), 2, "what was held is gone");
    assert_eq!(store.usage().bytes, 2 * whole.len() as u64);
    for claim in [&kept, &link] {
        assert!(store.holds(&claim.place));
        let found = store.find(claim).await.unwrap();
        assert!(read(&found).await.unwrap() == whole);
    }
    store.delete(kept.id).await.unwrap();
    store.delete(link.id).await.unwrap();
    assert_eq!(store.usage().objects, 0);
    let all = stored(&store, &bytes(75 << 20), Life::Held).await;
    assert_eq!(all.size(), 75 * MIB, "all of the quota is there again");
}

#[tokio::test]
async fn what_was_found_counts_against_the_quota() {
    let dir = tempfile::tempdir().unwrap();
    let store = node(dir.path(), 100 * MIB);
    let kept = stored(&store, &bytes(3 << 20), Life::Kept).await.claim();
    close(dir.path(), store).await;
    let store = node(dir.path(), 2 * MIB);
    let refused = store.create(new(&ns(), 1, Draw::Reply, Life::Held)).await;
    assert!(matches!(refused.map(drop), Err(StoreError::Full(_))));
    store.delete(kept.id).await.unwrap();
    stored(&store, &bytes(1 << 20), Life::Held).await;
}

#[tokio::test]
async fn each_gateway_has_a_store_of_its_own_and_takes_over_what_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let whole = bytes(100_000);
    let first = node(dir.path(), 10 * MIB);
    let second = node(dir.path(), 10 * MIB);
    assert_ne!(first.store_ids(), second.store_ids());
    let claim = stored(&first, &whole, Life::Kept).await.claim();
    assert!(!second.holds(&claim.place));
    second.find(&claim).await.unwrap_err();
    assert_eq!(second.take_over().unwrap(), 0, "it is not free");

    let id = Arc::clone(&first.store_ids()[0]);
    close(dir.path(), first).await;
    assert_eq!(second.take_over().unwrap(), 1);
    assert!(second.holds(&claim.place));
    let found = second.find(&claim).await.unwrap();
    assert!(read(&found).await.unwrap() == whole);
    let link = second.link(&claim).await.unwrap().claim();
    assert_ne!(link.place, claim.place, "a link moves to the own store");
    second.delete(claim.id).await.unwrap();
    assert!(read(&found).await.unwrap() == whole, "read to its end");
    assert!(!second.holds(&claim.place), "an empty one is given up");
    assert!(!dir.path().join("stores").join(&*id).exists());
    assert!(!dir.path().join("in").join(&*id).exists());

    let own = second.store_ids();
    drop(found);
    close(dir.path(), second).await;
    let third = node(dir.path(), 10 * MIB);
    assert_eq!(third.store_ids(), own);
    assert!(read(&third.find(&link).await.unwrap()).await.unwrap() == whole);
}

#[tokio::test]
async fn complete_files_have_their_name_and_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = node(dir.path(), 10 * MIB);
    let whole = bytes(100_000);
    let namespace = ns();
    let new = new(&namespace, whole.len() as u64, Draw::Door, Life::Held);
    let mut writer = store.create(new).await.unwrap();
    let folder = dir.path().join("in").join(&*store.store_ids()[0]);
    let id = writer.payload().claim().id;
    assert!(folder.join(format!(".{id}")).exists());
    assert_eq!(writer.payload().file(), None);
    writer.write(whole.clone()).await.unwrap();
    let payload = writer.finish().await.unwrap();
    let file = payload.file().unwrap();
    assert_eq!(file, folder.join(id.to_string()));
    assert!(fs::read(&file).unwrap() == whole);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o440);
    for (name, mode) in [("in", 0o2750), ("out", 0o2770), ("stores", 0o700)] {
        let found = fs::metadata(dir.path().join(name)).unwrap().permissions();
        assert_eq!(found.mode() & 0o7777, mode, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_lost_bytes_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = node(dir.path(), 10 * MIB);
    let whole = bytes(1 << 20);
    let payload = stored(&store, &whole, Life::Kept).await;
    let claim = payload.claim();
    let file = payload.file().unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let cut = fs::OpenOptions::new().write(true).open(&file).unwrap();
    cut.set_len(1000).unwrap();
    let error = read(&payload).await.unwrap_err();
    assert!(matches!(error, ReadError::Damaged(_)), "{error}");
    drop(payload);
    let error = store.find(&claim).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Read(ReadError::Damaged(_))),
        "{error}"
    );
    fs::remove_file(&file).unwrap();
    let error = store.find(&claim).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Read(ReadError::Missing(_))),
        "{error}"
    );
    store.delete(claim.id).await.unwrap();
}

#[tokio::test]
async fn other_bytes_are_damaged_if_there_is_a_digest() {
    let dir = tempfile::tempdir().unwrap();
    let quota = common::quota(10 * MIB);
    let store = NodeStore::open(dir.path(), quota, 8 * MIB, true).unwrap();
    let whole = bytes(1 << 20);
    let claim = stored(&store, &whole, Life::Kept).await.claim();
    assert!(claim.digest.is_some());
    let found = store.find(&claim).await.unwrap();
    let file = found.file().unwrap();
    let mut other = whole.to_vec();
    other[500_000] ^= 1;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(&file, other).unwrap();
    let error = read(&found).await.unwrap_err();
    assert!(matches!(error, ReadError::Damaged(_)), "{error}");
}

#[test]
fn directories_that_will_not_do_are_named_with_their_setting() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let lies = dir.path().join("lies");
    fs::create_dir(&lies).unwrap();
    symlink("/", lies.join("in")).unwrap();
    for (path, says) in [
        (Path::new("relative"), "not absolute"),
        (Path::new("/nowhere/at/all"), "cannot be used"),
        (&plain, "not a directory"),
        (&lies, "has a `in`"),
    ] {
        let error = NodeStore::open(path, common::quota(MIB), MIB, false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("store.node.directory"), "{text}");
        assert!(text.contains(says), "{text}");
    }
}
