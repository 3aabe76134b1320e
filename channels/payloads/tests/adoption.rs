//! What steps leave in `out/` is adopted without moving a byte, and no trick gets anything else adopted.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{bytes, eventually, files, node, ns, read};
use tempfile::TempDir;
use towpath_event::{ReadError, SetAside};
use towpath_payloads::{AdoptError, Draw, Life, NodeStore, PayloadStore};

const MIB: u64 = 1 << 20;

struct Shared {
    dir: TempDir,
    store: NodeStore,
}

impl Shared {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = node(dir.path(), 16 * MIB);
        Self { dir, store }
    }

    fn out(&self, path: &str) -> PathBuf {
        self.dir.path().join("out").join(path)
    }

    async fn adopt(&self, path: &str) -> Result<Arc<dyn SetAside>, AdoptError> {
        self.store.adopt(Path::new(path), &ns(), Draw::Reply).await
    }
}

#[tokio::test]
async fn a_file_becomes_a_payload() {
    let shared = Shared::new();
    let whole = bytes(2 << 20);
    fs::create_dir(shared.out("a")).unwrap();
    for path in ["reply", "a/reply"] {
        fs::write(shared.out(path), &whole).unwrap();
        let inode = fs::metadata(shared.out(path)).unwrap().ino();
        let payload = shared.adopt(path).await.unwrap();
        assert!(!shared.out(path).exists());
        assert_eq!(payload.size(), whole.len() as u64);
        assert!(read(&payload).await.unwrap() == whole);
        let file = payload.file().unwrap();
        assert_eq!(fs::metadata(&file).unwrap().ino(), inode, "not copied");
        assert_eq!(shared.store.usage().bytes, whole.len() as u64);
        drop(payload);
        eventually("it is gone", || !file.exists()).await;
    }
    fs::write(shared.out("empty"), "").unwrap();
    assert_eq!(shared.adopt("empty").await.unwrap().size(), 0);
}

#[tokio::test]
async fn tricks_are_seen_through() {
    let shared = Shared::new();
    let secret = shared.dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::write(shared.out("plain"), "plain").unwrap();
    symlink(&secret, shared.out("symlink")).unwrap();
    symlink("plain", shared.out("near")).unwrap();
    symlink("..", shared.out("up")).unwrap();
    symlink("/proc/self/fd", shared.out("magic")).unwrap();
    fs::hard_link(&secret, shared.out("hard")).unwrap();
    fs::create_dir(shared.out("folder")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o660);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, shared.out("fifo"), fifo, mode, 0).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(shared.out("socket")).unwrap();

    for (path, expected) in [
        ("symlink", AdoptError::Symlink),
        ("near", AdoptError::Symlink),
        ("up/secret", AdoptError::Symlink),
        ("magic/0", AdoptError::Symlink),
        ("hard", AdoptError::HardLinked(2)),
        ("folder", AdoptError::NotRegular),
        ("folder/", AdoptError::NotRegular),
        ("fifo", AdoptError::NotRegular),
        ("socket", AdoptError::NotRegular),
        ("../secret", AdoptError::NotBeneath),
        ("folder/../../secret", AdoptError::NotBeneath),
        ("/etc/passwd", AdoptError::NotBeneath),
        ("..", AdoptError::NotBeneath),
        ("folder/..", AdoptError::NotBeneath),
        ("/", AdoptError::NotBeneath),
        ("", AdoptError::NotBeneath),
        (".", AdoptError::NotBeneath),
        ("missing", AdoptError::Missing),
        ("plain/file", AdoptError::Missing),
    ] {
        let refused = shared.adopt(path).await.map(drop);
        assert_eq!(refused, Err(expected), "{path}");
    }
    assert_eq!(files(shared.dir.path()), 0, "nothing was moved");
    assert_eq!(shared.store.usage().objects, 0);
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    shared.adopt("folder/../plain").await.unwrap();
    drop(socket);
}

#[tokio::test]
async fn a_file_without_room_stays_where_it_is() {
    let shared = Shared::new();
    let large = File::create(shared.out("large")).unwrap();
    large.set_len(17 * MIB).unwrap();
    let refused = shared.adopt("large").await.map(drop);
    assert!(matches!(refused, Err(AdoptError::Full(_))), "{refused:?}");
    assert!(shared.out("large").exists());
    large.set_len(16 * MIB).unwrap();
    shared.adopt("large").await.unwrap();
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_handed_over_is_damaged() {
    let changes: [fn(&File, &Path); 4] = [
        |file, _| file.write_all_at(b"x", 5).unwrap(),
        |file, _| file.set_len(10).unwrap(),
        |mut file, _| file.write_all(b"more").unwrap(),
        |_, path| fs::hard_link(path, path.parent().unwrap().join("second")).unwrap(),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let shared = Shared::new();
        let whole = bytes(1 << 20);
        fs::write(shared.out("reply"), &whole).unwrap();
        let open = OpenOptions::new()
            .append(i == 2)
            .write(true)
            .open(shared.out("reply"));
        let open = open.unwrap();
        let payload = shared.adopt("reply").await.unwrap();
        let file = payload.file().unwrap();
        assert!(read(&payload).await.unwrap() == whole);
        let mut reader = Arc::clone(&payload).read(0..whole.len() as u64);
        let first = futures_util::future::poll_fn(|cx| reader.poll_chunk(cx)).await;
        first.unwrap().unwrap();
        change(&open, &file);
        assert_eq!(payload.file(), None, "change {i}");
        let error = read(&payload).await.unwrap_err();
        assert!(error.to_string().contains("changed after"), "{i}: {error}");
        let error = loop {
            match futures_util::future::poll_fn(|cx| reader.poll_chunk(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("change {i} was not seen by who was reading"),
            }
        };
        assert!(matches!(error, ReadError::Damaged(_)), "{i}: {error}");
    }
}

#[tokio::test]
async fn links_of_an_adopted_file_are_no_change() {
    let shared = Shared::new();
    let whole = bytes(100_000);
    fs::write(shared.out("reply"), &whole).unwrap();
    let open = OpenOptions::new().write(true).open(shared.out("reply"));
    let first = shared.adopt("reply").await.unwrap();
    let second = shared.store.link(&first.claim()).await.unwrap();
    let third = shared.store.link(&second.claim()).await.unwrap();
    assert!(read(&first).await.unwrap() == whole);
    shared.store.delete(second.claim().id).await.unwrap();
    assert!(read(&third).await.unwrap() == whole);
    let claim = third.claim();
    let file = first.file().unwrap();
    drop((first, second, third));
    eventually("the first is gone", || !file.exists()).await;
    let third = shared.store.find(&claim).await.unwrap();
    assert!(read(&third).await.unwrap() == whole);
    open.unwrap().write_all_at(b"x", 5).unwrap();
    read(&third).await.unwrap_err();
    shared.store.link(&claim).await.unwrap_err();
}

#[tokio::test]
async fn a_payload_from_elsewhere_becomes_a_file() {
    let shared = Shared::new();
    let whole = bytes(3 << 20);
    let memory = towpath_payloads::MemoryStore::new(common::quota(16 * MIB), false);
    let namespace = ns();
    let new = common::new(&namespace, whole.len() as u64, Draw::Door, Life::Held);
    let mut writer = memory.create(new).await.unwrap();
    writer.write(whole.clone()).await.unwrap();
    let source = writer.finish().await.unwrap();
    let copy = shared.store.materialise(&source, &namespace, Draw::Reply);
    let copy = copy.await.unwrap();
    assert!(fs::read(copy.file().unwrap()).unwrap() == whole);
    let again = shared.store.materialise(&copy, &namespace, Draw::Reply);
    assert_eq!(again.await.unwrap().claim(), copy.claim(), "a file already");
}

#[tokio::test]
#[ignore = "a measurement: run it alone, as a release build"]
async fn adopting_takes_microseconds() {
    let shared = Shared::new();
    let mut times = Vec::new();
    let namespace = ns();
    for i in 0..2000 {
        let name = format!("reply-{i}");
        fs::write(shared.out(&name), b"reply").unwrap();
        let before = tokio::time::Instant::now();
        let adopted = shared
            .store
            .adopt(Path::new(&name), &namespace, Draw::Reply);
        let payload = adopted.await.unwrap();
        times.push(before.elapsed());
        drop(payload);
    }
    times.sort();
    println!("p50 {:?}, p99 {:?}", times[1000], times[1980]);
    assert!(times[1000] < std::time::Duration::from_micros(30));
}
