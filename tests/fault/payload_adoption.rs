//! Files that a step leaves for its reply: which are adopted, and the tricks that are not.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use towpath_harness::manifest::uri;
use towpath_harness::poll::SOON;
use towpath_harness::{Gateway, Response, Subscriber, Tap, TestResult};

use crate::payload_kit::{BULKY, EVENT, Shelf, bulky, channel_to, pattern, post};

/// A step that is shown files, and where its replies and dead letters go.
struct Workflow {
    shelf: Shelf,
    step: Tap,
    next: Subscriber,
    dead: Subscriber,
    gateway: Gateway,
}

impl Workflow {
    async fn start() -> Result<Self> {
        let (shelf, step) = (Shelf::new()?, Tap::start()?);
        let (next, dead) = (Subscriber::start().await?, Subscriber::start().await?);
        let [channel, to] = channel_to(&step.url("/"), &dead.url("/"));
        let to = to.annotation("towpath.dev/payload", "File");
        let to = to
            .spec("reply", uri(next.url("/")))
            .spec("delivery.retry", 0);
        let launch = shelf
            .launch([channel, to])
            .set("store.memory.maxPayload", "0");
        let gateway = launch.set("payloads.referenceGrace", "1s").start().await?;
        Ok(Self {
            shelf,
            step,
            next,
            dead,
            gateway,
        })
    }

    fn out(&self) -> PathBuf {
        self.shelf.path().join("out")
    }

    /// One event, to which the step replies with that reference and no data.
    async fn replied(&self, dataref: &str) -> Result<Response> {
        let posted = post(&self.gateway, bulky("cause", BULKY));
        let mut tapped = self.step.next().await?;
        let headers = format!("{EVENT}ce-dataref: {dataref}\r\nConnection: close\r\n");
        tapped.answer("200 OK", &headers, b"").await?;
        posted.await?
    }

    /// The reply failed, and its cause went whole to the dead letter sink.
    async fn refused(&self, what: &str, dataref: &str) -> TestResult {
        let (letters, replies) = (self.dead.count(), self.next.count());
        assert_eq!(self.replied(dataref).await?.code(), 202, "{what}");
        assert_eq!(self.next.count(), replies, "{what}: it was passed on");
        let dead = self.dead.requests();
        assert_eq!(dead.len(), letters + 1, "{what}: no dead letter");
        let letter = dead
            .last()
            .ok_or_else(|| anyhow::anyhow!("no dead letter"))?;
        assert!(letter.body == pattern(BULKY), "{what}: the cause");
        assert_eq!(letter.header("ce-knativeerrorcode"), "502", "{what}");
        assert!(
            !letter.header("ce-knativeerrordata").is_empty(),
            "{what}: no reason"
        );
        Ok(())
    }

    /// The reference is not ours: it goes on as it is, and nothing is read (C9.2).
    async fn untouched(&self, what: &str, dataref: &str) -> TestResult {
        let (letters, replies) = (self.dead.count(), self.next.count());
        assert_eq!(self.replied(dataref).await?.code(), 202, "{what}");
        assert_eq!(
            (self.dead.count(), self.next.count()),
            (letters, replies + 1),
            "{what}"
        );
        let requests = self.next.requests();
        let reply = requests.last().ok_or_else(|| anyhow::anyhow!("no reply"))?;
        assert_eq!(reply.header("ce-dataref"), dataref, "{what}");
        assert!(reply.body.is_empty(), "{what}: {} bytes", reply.body.len());
        Ok(())
    }

    /// It is taken: the next step gets its bytes.
    async fn adopted(&self, what: &str, dataref: &str, data: &[u8]) -> TestResult {
        let (letters, replies) = (self.dead.count(), self.next.count());
        assert_eq!(self.replied(dataref).await?.code(), 202, "{what}");
        assert_eq!(
            (self.dead.count(), self.next.count()),
            (letters, replies + 1),
            "{what}"
        );
        let requests = self.next.requests();
        let reply = requests.last().ok_or_else(|| anyhow::anyhow!("no reply"))?;
        assert!(reply.body == data, "{what}: not the same bytes");
        assert_eq!(reply.header("ce-dataref"), "", "{what}: C9.1");
        Ok(())
    }
}

/// What a step does to a file that it kept open.
type Change = fn(&mut fs::File) -> std::io::Result<()>;

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

#[tokio::test]
async fn what_is_no_plain_file_of_its_own_is_refused_and_stays() -> TestResult {
    let workflow = Workflow::start().await?;
    let (out, data) = (workflow.out(), pattern(BULKY));
    let secret = tempfile::tempdir()?;
    let secret = secret.path().join("secret");
    fs::write(&secret, "secret")?;
    symlink("/etc/passwd", out.join("symlink"))?;
    symlink(&secret, out.join("to-secret"))?;
    symlink(secret.parent().unwrap_or(&secret), out.join("folder-link"))?;
    symlink("symlink", out.join("to-symlink"))?;
    symlink("nowhere", out.join("dangling"))?;
    fs::write(out.join("first"), &data)?;
    fs::hard_link(out.join("first"), out.join("second"))?;
    fs::create_dir(out.join("folder"))?;
    let made = std::process::Command::new("mkfifo")
        .arg(out.join("fifo"))
        .status()?;
    assert!(made.success(), "mkfifo");
    std::os::unix::net::UnixListener::bind(out.join("socket"))?;
    for name in [
        "symlink",
        "to-secret",
        "folder-link/secret",
        "to-symlink",
        "dangling",
        "first",
        "second",
        "folder",
        "fifo",
        "socket",
        "none",
        "none/none",
        "first/beneath",
        "",
    ] {
        workflow.refused(name, &url(&out.join(name))).await?;
    }
    assert_eq!(fs::read_to_string(&secret)?, "secret");
    assert!(Path::new("/etc/passwd").exists());
    for name in [
        "symlink",
        "to-secret",
        "first",
        "second",
        "folder",
        "fifo",
        "socket",
    ] {
        assert!(out.join(name).symlink_metadata().is_ok(), "{name} is gone");
    }
    // With one name left it is a file like any other.
    fs::remove_file(out.join("second"))?;
    workflow
        .adopted("first", &url(&out.join("first")), &data)
        .await?;
    workflow.shelf.at_rest(&workflow.gateway).await
}

#[tokio::test]
async fn what_is_not_beneath_the_shared_directory_is_not_ours() -> TestResult {
    let workflow = Workflow::start().await?;
    let out = workflow.out();
    let root = workflow.shelf.path().display().to_string();
    let outside = workflow.shelf.path().with_extension("outside");
    fs::write(&outside, "outside")?;
    fs::write(out.join("here"), pattern(BULKY))?;
    for dataref in [
        "file:///etc/passwd".to_owned(),
        url(&outside),
        format!("file://{root}/out/../../../etc/passwd"),
        format!("file://{root}/out/%2e%2e/%2e%2e/etc/passwd"),
        format!("file://{root}/out/.%2E/%2e./etc/passwd"),
        format!("file://{root}/out/..%2f..%2f..%2fetc%2fpasswd"),
        format!("file://{root}/out/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
        format!("file://otherhost{root}/out/here"),
        format!("file://{root}/out/here?query"),
        format!("file://{root}/out/here#fragment"),
        format!("{root}/out/here"),
        format!("https://localhost{root}/out/here"),
        "file:out/here".to_owned(),
    ] {
        workflow.untouched(&dataref, &dataref).await?;
    }
    assert_eq!(fs::read_to_string(&outside)?, "outside");
    fs::remove_file(&outside)?;
    assert!(out.join("here").exists(), "it was named by nobody");
    workflow.shelf.at_rest(&workflow.gateway).await
}

/// Beneath the directory, but not in `out/`: only what was shown may be passed on.
#[tokio::test]
async fn only_what_was_shown_may_be_named_outside_of_out() -> TestResult {
    let workflow = Workflow::start().await?;
    let root = workflow.shelf.path();
    let store = fs::read_dir(root.join("stores"))?
        .next()
        .ok_or_else(|| anyhow::anyhow!("no store"))??;
    let lock = store.path().join("lock");
    let planted = root.join("in").join(store.file_name()).join("planted");
    fs::write(&planted, "planted")?;
    fs::write(root.join("out").join("here"), pattern(BULKY))?;
    for path in [
        lock.clone(),
        planted.clone(),
        root.join("out/../in")
            .join(store.file_name())
            .join("planted"),
        root.join("in"),
        root.join("stray"),
    ] {
        workflow
            .refused(&path.display().to_string(), &url(&path))
            .await?;
    }
    assert!(lock.exists() && planted.exists());
    fs::remove_file(&planted)?;

    // The payload of another event, which waits for a subscriber of its own and was never shown.
    let hidden = post(&workflow.gateway, bulky("hidden", BULKY));
    let mut waiting = workflow.step.next().await?;
    let shown = waiting.header("ce-dataref");
    assert!(shown.starts_with("file://"), "{shown}");
    waiting
        .answer("202 Accepted", "Connection: close\r\n", b"")
        .await?;
    assert_eq!(hidden.await??.code(), 202);
    // Shown, and still within its grace.
    workflow
        .adopted("passed on", &shown, &pattern(BULKY))
        .await?;
    workflow.shelf.at_rest(&workflow.gateway).await?;
    workflow.refused("shown, and gone", &shown).await
}

/// Names are bytes: whatever a file is called, its URL finds it. It is moved, not copied.
#[tokio::test]
async fn odd_names_are_adopted_and_no_byte_is_moved() -> TestResult {
    let workflow = Workflow::start().await?;
    let (out, data) = (workflow.out(), pattern(BULKY));
    fs::create_dir_all(out.join("a/b"))?;
    let long = "n".repeat(120);
    for (name, encoded) in [
        (&b"with spaces"[..], "with%20spaces"),
        (&b"\xff\xfe"[..], "%FF%FE"),
        ("\u{e9}t\u{e9}".as_bytes(), "%C3%A9t%C3%A9"),
        (&b"100%"[..], "100%25"),
        (&b"question?#"[..], "question%3F%23"),
        (&b"new\nline"[..], "new%0Aline"),
        (&b"a/b/deep"[..], "a/b/deep"),
        (&b"a/b/dots"[..], "a/./b/../b/dots"),
        (&b"a/b/slash"[..], "a%2Fb%2Fslash"),
        (&b".hidden"[..], ".hidden"),
        (long.as_bytes(), &long),
    ] {
        let file = out.join(OsStr::from_bytes(name));
        fs::write(&file, &data)?;
        let dataref = format!("file://{}/{encoded}", out.display());
        workflow.adopted(encoded, &dataref, &data).await?;
        assert!(!file.exists(), "{encoded} is still in `out/`");
    }
    let file = out.join("local");
    fs::write(&file, &data)?;
    let dataref = format!("file://localhost{}", file.display());
    workflow.adopted("localhost", &dataref, &data).await?;
    workflow.shelf.at_rest(&workflow.gateway).await
}

/// A step that kept the file open changes it after it was adopted: the next attempt fails, and nobody gets other bytes.
#[tokio::test]
async fn a_file_that_changes_after_adoption_is_damaged() -> TestResult {
    let appended: Change = |file: &mut fs::File| file.write_all(b"more");
    let cut: Change = |file: &mut fs::File| file.set_len(BULKY as u64 / 2);
    let rewritten: Change = |file: &mut fs::File| {
        use std::os::unix::fs::FileExt;
        file.write_all_at(b"changed", BULKY as u64 / 3)
    };
    let changes: [(&str, Change); 3] = [
        ("appended", appended),
        ("cut", cut),
        ("rewritten", rewritten),
    ];
    for (what, change) in changes {
        let (shelf, step, next) = (Shelf::new()?, Tap::start()?, Tap::start()?);
        let dead = Subscriber::start().await?;
        let [channel, to] = channel_to(&step.url("/"), &dead.url("/"));
        let to = to.annotation("towpath.dev/payload", "File");
        let to = to
            .spec("reply", uri(next.url("/")))
            .spec("delivery.retry", 1);
        let launch = shelf
            .launch([channel, to])
            .set("store.memory.maxPayload", "0");
        let gateway = launch.set("payloads.referenceGrace", "1s").start().await?;
        let left = shelf.path().join("out").join("left");
        let mut file = fs::File::create_new(&left)?;
        file.write_all(&pattern(BULKY))?;
        // Long ago, so that a write shows whatever the resolution of the file system's clock is.
        file.set_modified(SystemTime::UNIX_EPOCH)?;
        let inode = file.metadata()?.ino();
        let posted = post(&gateway, bulky("cause", BULKY));
        let mut tapped = step.next().await?;
        let headers = format!("{EVENT}ce-dataref: {}\r\nConnection: close\r\n", url(&left));
        tapped.answer("200 OK", &headers, b"").await?;
        let mut first = next.next().await?;
        assert!(
            first.read(BULKY / 8).await? == pattern(BULKY)[..BULKY / 8],
            "{what}"
        );
        let files = shelf.files()?;
        let moved = files
            .iter()
            .any(|file| file.metadata().is_ok_and(|found| found.ino() == inode));
        assert!(moved, "{what}: it was copied: {files:?}");
        change(&mut file)?;
        first.reset()?;
        let attempts = async {
            loop {
                let Ok(tapped) = next.next().await else {
                    continue;
                };
                let ended = tapped.ended(SOON).await?;
                let came = ended.rest.len();
                assert!(
                    ended.reset && came < BULKY,
                    "{what}: {came} bytes and a close"
                );
            }
            #[allow(unreachable_code, reason = "names the type of an endless loop")]
            TestResult::Ok(())
        };
        let answer = tokio::select! {
            answer = posted => answer??,
            failed = attempts => return failed,
        };
        assert_eq!(answer.code(), 202, "{what}");
        assert!(
            dead.only()?.body == pattern(BULKY),
            "{what}: the cause is whole (C5.8)"
        );
        shelf.at_rest(&gateway).await?;
    }
    Ok(())
}
