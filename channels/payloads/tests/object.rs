//! The object store against MinIO: the suite, many uploads at once, and a server that dies or falls silent.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use support::{MIB, budget, bytes, create, fill, next, stored, whole};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use towpath_event::{Progress, ReadError};
use towpath_harness::TestResult;
use towpath_harness::poll::{SOON, until, within};
use towpath_harness::servers::{S3, S3_BUCKET, S3_KEY, S3_REGION, S3_SECRET, Toxiproxy};
use towpath_harness::tls::Authority;
use towpath_payloads::suite::{self, Traits};
use towpath_payloads::{
    Life, PayloadStore, S3Credentials, S3Settings, S3Store, StoreError, Tier, Usage,
};

const PART: usize = 5 * MIB;

fn settings(endpoint: &str, journal: &Path) -> S3Settings {
    S3Settings {
        name: "main".into(),
        url: format!("s3://{S3_BUCKET}/some/prefix"),
        endpoint: Some(endpoint.into()),
        region: Some(S3_REGION.into()),
        path_style: true,
        allow_http: true,
        ca_file: None,
        credentials: S3Credentials::Key {
            id: S3_KEY.into(),
            secret: S3_SECRET.into(),
        },
        part_bytes: PART,
        parts_in_flight: 2,
        patience: Duration::from_secs(1),
        digest: false,
        journal: Some(journal.to_owned()),
    }
}

struct Bed {
    s3: S3,
    journal: tempfile::TempDir,
    store: S3Store,
}

async fn bed() -> anyhow::Result<Bed> {
    let s3 = S3::start().await?;
    let journal = tempfile::tempdir()?;
    let store = open(&s3, &journal)?;
    Ok(Bed { s3, journal, store })
}

fn open(s3: &S3, journal: &tempfile::TempDir) -> anyhow::Result<S3Store> {
    let settings = settings(&s3.endpoint(), journal.path());
    Ok(S3Store::open(&settings, "installation", budget(256 * MIB))?)
}

/// Waits for a part. The file of the upload itself is there before the server has said which upload it is: what a crash
/// leaves then nobody knows of.
async fn a_part_is_there(s3: &S3) -> TestResult {
    let is_part = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("part."))
    };
    until("a part to be there", SOON, async || {
        Ok(s3.files()?.iter().any(is_part).then_some(()))
    })
    .await
}

async fn nothing_is_left(s3: &S3) -> TestResult {
    until("nothing to be left", 3 * SOON, async || {
        let files = s3.files()?;
        anyhow::ensure!(files.is_empty(), "{files:?}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn passes_the_suite() -> TestResult {
    let s3 = S3::start().await?;
    let journal = tempfile::tempdir()?;
    for digest in [false, true] {
        let settings = S3Settings {
            digest,
            ..settings(&s3.endpoint(), journal.path())
        };
        let store = S3Store::open(&settings, "suite", budget(128 * MIB))?;
        suite::all(&store, Traits { early: false }).await;
    }
    Ok(())
}

#[tokio::test]
async fn many_uploads_share_the_budget() -> TestResult {
    let Bed { s3, journal, .. } = bed().await?;
    let budget = budget(4 * 3 * PART);
    let settings = settings(&s3.endpoint(), journal.path());
    let store = S3Store::open(&settings, "many", budget.clone())?;
    let data = bytes(3 * PART + 17);
    let uploads = (0..12).map(|_| async {
        let mut writer = create(&store, None, Life::Held).await?;
        fill(&mut *writer, &data).await?;
        writer.finish().await
    });
    let mut refused = 0;
    let mut kept = Vec::new();
    for outcome in join_all(uploads).await {
        match outcome {
            Ok(payload) => kept.push(payload),
            Err(StoreError::Full(full)) => {
                assert_eq!(full.limit, 12 * PART as u64, "{full}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((kept.len(), refused), (4, 8), "three parts for each");
    for payload in &kept {
        assert!(whole(payload).await? == data);
    }
    drop(kept);
    until("the memory to be given back", SOON, async || {
        Ok((budget.used() == 0).then_some(()))
    })
    .await?;
    nothing_is_left(&s3).await
}

#[tokio::test]
async fn an_upload_that_is_broken_off_leaves_nothing() -> TestResult {
    let Bed { s3, journal, store } = bed().await?;
    let data = bytes(3 * PART);
    let mut writer = create(&store, Some(4 * PART), Life::Kept).await?;
    fill(&mut *writer, &data).await?;
    a_part_is_there(&s3).await?;
    drop(writer);
    nothing_is_left(&s3).await?;
    let finishing = create(&store, Some(3 * PART), Life::Kept).await;
    let mut writer = finishing?;
    fill(&mut *writer, &data).await?;
    drop(writer.finish());
    nothing_is_left(&s3).await?;
    let mut writer = create(&store, Some(3 * PART), Life::Kept).await?;
    fill(&mut *writer, &data).await?;
    let mut finish = writer.finish();
    // begun, and then nobody waits for it
    assert!(futures_util::poll!(&mut finish).is_pending());
    drop(finish);
    nothing_is_left(&s3).await?;
    until("the account to be empty", SOON, async || {
        Ok((store.usage() == Usage::default()).then_some(()))
    })
    .await?;
    drop(store);
    until("the journal to be removed", SOON, async || {
        Ok((journal.path().read_dir()?.count() == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn what_a_dead_process_left_of_uploads_is_aborted() -> TestResult {
    let s3 = S3::start().await?;
    let journal = tempfile::tempdir()?;
    // as in a process that dies: its tasks stop where they are
    let died = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let settings = settings(&s3.endpoint(), journal.path());
    let in_dead = settings.clone();
    let begun = died.spawn(async move {
        let store = S3Store::open(&in_dead, "installation", budget(256 * MIB))?;
        let mut writer = create(&store, Some(4 * PART), Life::Kept).await?;
        fill(&mut *writer, &bytes(3 * PART)).await?;
        anyhow::Ok((store, writer))
    });
    let (dead, writer) = begun.await??;
    a_part_is_there(&s3).await?;
    let store = S3Store::open(&settings, "installation", budget(256 * MIB))?;
    assert_eq!(store.recover().await?, 0, "it lives");
    tokio::task::spawn_blocking(move || died.shutdown_timeout(SOON)).await?;
    drop((dead, writer));
    until("the upload to be aborted", SOON, async || {
        Ok((store.recover().await? == 1).then_some(()))
    })
    .await?;
    nothing_is_left(&s3).await?;
    assert_eq!(store.recover().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_write_breaks_it() -> TestResult {
    let Bed {
        mut s3,
        journal: _journal,
        store,
    } = bed().await?;
    let data = bytes(3 * PART);
    let mut writer = create(&store, Some(3 * PART), Life::Kept).await?;
    let payload = Arc::clone(writer.payload());
    fill(&mut *writer, &data.slice(..2 * PART)).await?;
    a_part_is_there(&s3).await?;
    s3.server().kill().await?;
    let rest = data.slice(2 * PART..);
    let written = match within("a refusal", 3 * SOON, fill(&mut *writer, &rest)).await? {
        Ok(()) => within("a refusal", 3 * SOON, writer.finish())
            .await?
            .map(drop),
        Err(error) => Err(error),
    };
    let tier = Tier::Object;
    assert!(
        matches!(&written, Err(StoreError::Unavailable { tier: said, .. }) if *said == tier),
        "{written:?}"
    );
    assert_eq!(payload.progress(), Progress::Broken);
    assert_eq!(payload.completed().await, Err(ReadError::SourceBroke));
    let refused = stored(&store, &bytes(10), Life::Held).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    s3.server().restart().await?;
    until("what is left to be aborted", 3 * SOON, async || {
        store.recover().await?;
        let files = s3.files()?;
        anyhow::ensure!(files.is_empty(), "{files:?}");
        Ok(Some(()))
    })
    .await?;
    let payload = stored(&store, &data, Life::Held).await?;
    assert!(whole(&payload).await? == data);
    Ok(())
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_read_fails_it_and_keeps_what_it_has() -> TestResult {
    let Bed {
        mut s3,
        journal,
        store,
    } = bed().await?;
    let data = bytes(40 * MIB);
    let claim = stored(&store, &data, Life::Kept).await?.claim();
    let payload = store.find(&claim).await?;
    let mut reader = payload.read(0..claim.size);
    let first = next(&mut *reader).await.expect("some bytes")?;
    assert!(data.starts_with(&first));
    s3.server().kill().await?;
    let broke = within("an error", 3 * SOON, support::rest(reader)).await?;
    assert!(matches!(broke, Err(ReadError::Store(_))), "{broke:?}");
    s3.server().restart().await?;
    // another process: nothing is known but the claim
    drop(store);
    let store = open(&s3, &journal)?;
    let payload = store.find(&claim).await?;
    assert!(whole(&payload).await? == data);
    let listed: Vec<_> = store.list().collect().await;
    assert_eq!(listed.len(), 1);
    store.delete(claim.id).await?;
    nothing_is_left(&s3).await
}

#[tokio::test]
async fn a_server_that_stands_still_in_the_middle_of_a_read_is_given_up() -> TestResult {
    let Bed {
        mut s3,
        journal: _journal,
        store,
    } = bed().await?;
    let data = bytes(40 * MIB);
    let payload = stored(&store, &data, Life::Kept).await?;
    let mut reader = Arc::clone(&payload).read(0..payload.size());
    next(&mut *reader).await.expect("some bytes")?;
    s3.server().stop().await?;
    let broke = within("an error", 3 * SOON, support::rest(reader)).await?;
    assert!(matches!(broke, Err(ReadError::Store(_))), "{broke:?}");
    s3.server().restart().await?;
    assert!(whole(&payload).await? == data, "it is still there");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() -> TestResult {
    let mut s3 = S3::start().await?;
    let toxiproxy = Toxiproxy::start().await?;
    let proxy = toxiproxy.proxy("s3", s3.server().address()).await?;
    let journal = tempfile::tempdir()?;
    let endpoint = format!("http://{}", proxy.address);
    let settings = settings(&endpoint, journal.path());
    let store = S3Store::open(&settings, "silent", budget(256 * MIB))?;
    let data = bytes(20 * MIB);
    let payload = stored(&store, &data, Life::Held).await?;
    proxy.black_hole().await?;
    let broke = within("an error", 3 * SOON, whole(&payload)).await?;
    assert!(matches!(broke, Err(ReadError::Store(_))), "{broke:?}");
    for data in [&data, &bytes(10)] {
        let refused = within("a refusal", 3 * SOON, stored(&store, data, Life::Held)).await?;
        assert!(
            matches!(refused, Err(StoreError::Unavailable { .. })),
            "{refused:?}"
        );
    }
    proxy.heal().await?;
    assert!(whole(&payload).await? == data, "it is still there");
    Ok(())
}

/// MinIO removes the folder of the last object in it, and refuses (403) an object that comes at that moment.
#[tokio::test]
async fn payloads_come_while_others_go() -> TestResult {
    let Bed {
        s3: _s3,
        journal: _journal,
        store,
    } = bed().await?;
    let small = bytes(300_000);
    let rounds = (0..2).map(|_| async {
        for _ in 0..300 {
            let kept = stored(&store, &small, Life::Kept).await?.claim();
            store.delete(kept.id).await?;
        }
        anyhow::Ok(())
    });
    for round in join_all(rounds).await {
        round?;
    }
    Ok(())
}

#[tokio::test]
async fn a_drip_of_bytes_is_stored_as_one_payload() -> TestResult {
    let Bed {
        s3: _s3,
        journal: _journal,
        store,
    } = bed().await?;
    let data = bytes(20_000);
    let mut writer = create(&store, None, Life::Held).await?;
    for at in 0..data.len() {
        writer.write(data.slice(at..=at)).await?;
    }
    writer.write(Bytes::new()).await?;
    let payload = writer.finish().await?;
    assert!(whole(&payload).await? == data);
    Ok(())
}

/// TLS in front of the server, for `localhost`; gives the port.
async fn terminator(s3: &mut S3, authority: &Authority) -> anyhow::Result<u16> {
    let (acceptor, upstream) = (authority.server()?, s3.server().address());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(upstream).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    Ok(port)
}

#[tokio::test]
async fn over_tls_only_who_is_trusted_gets_anything() -> TestResult {
    let mut s3 = S3::start().await?;
    let authority = Authority::new()?;
    let port = terminator(&mut s3, &authority).await?;
    let folder = tempfile::tempdir()?;
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem())?;
    let distrusting = S3Settings {
        allow_http: false,
        ..settings(&format!("https://localhost:{port}"), folder.path())
    };
    let trusting = S3Settings {
        ca_file: Some(ca_file),
        ..distrusting.clone()
    };
    let store = S3Store::open(&distrusting, "tls", budget(64 * MIB))?;
    let refused = stored(&store, &bytes(10), Life::Held).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    let store = S3Store::open(&trusting, "tls", budget(64 * MIB))?;
    for data in [bytes(10), bytes(2 * PART + 1)] {
        let payload = stored(&store, &data, Life::Held).await?;
        assert!(whole(&payload).await? == data);
    }
    Ok(())
}
