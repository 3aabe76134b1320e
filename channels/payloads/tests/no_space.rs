//! A file system without space is a store that cannot be used, until there is space again.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{bytes, eventually, files, new, node, ns, read, stored};
use towpath_event::Progress;
use towpath_payloads::{Draw, Life, PayloadStore, StoreError};

/// A file system in memory of 4 MiB, unmounted when dropped.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(at).status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        // Lazily: threads may still be closing files.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn no_space_breaks_the_payload_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Small::mount(dir.path()) else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let store = node(dir.path(), 64 << 20);
    let there = stored(&store, &bytes(1 << 20), Life::Kept).await;
    let namespace = ns();
    let large = new(&namespace, 32 << 20, Draw::Door, Life::Held);
    let mut writer = store.create(large).await.unwrap();
    let payload = std::sync::Arc::clone(writer.payload());
    let mut refused = None;
    for _ in 0..32 {
        match writer.write(bytes(1 << 20)).await {
            Ok(()) => {}
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let refused = match refused {
        Some(error) => {
            drop(writer);
            error
        }
        None => writer.finish().await.map(drop).unwrap_err(),
    };
    assert!(
        matches!(refused, StoreError::Unavailable { .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("store.node.quota"),
        "{refused}"
    );
    assert_eq!(payload.progress(), Progress::Broken);
    drop(payload);
    eventually("what was written is gone", || files(dir.path()) == 1).await;
    assert!(read(&there).await.unwrap() == bytes(1 << 20));
    let space = || rustix::fs::statvfs(dir.path()).unwrap();
    let free = || space().f_bavail * space().f_frsize >= 2 << 20;
    eventually("its room is free again", free).await;
    assert_eq!(store.usage().objects, 1);
    let next = stored(&store, &bytes(2 << 20), Life::Held).await;
    assert!(read(&next).await.unwrap() == bytes(2 << 20));
}
