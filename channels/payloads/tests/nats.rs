//! The nats store against nats-server: the suite, full streams, and a server that dies or falls silent.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use support::{
    MIB, NATS_CHUNK as CHUNK, assert_unavailable, budget, bytes, create, create_for, fill,
    nats_settings as settings, next, open_nats as open, stored, whole,
};
use towpath_event::{ClaimCheck, Progress, ReadError};
use towpath_harness::TestResult;
use towpath_harness::poll::{SOON, until, within};
use towpath_harness::servers::{Nats, Toxiproxy};
use towpath_payloads::suite::{self, Traits};
use towpath_payloads::{Draw, Life, NatsSettings, NatsStore, PayloadStore, StoreError, Tier};

async fn bed() -> anyhow::Result<(Nats, NatsStore)> {
    let nats = Nats::start().await?;
    let store = open(&settings(&nats.url())).await?;
    Ok((nats, store))
}

async fn listed(store: &NatsStore) -> anyhow::Result<usize> {
    let entries: Vec<_> = store.list().collect().await;
    Ok(entries.into_iter().collect::<Result<Vec<_>, _>>()?.len())
}

async fn nothing_is_left(store: &NatsStore) -> TestResult {
    until("nothing to be left", SOON, async || {
        let left = listed(store).await?;
        anyhow::ensure!(left == 0, "{left} payloads");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn passes_the_suite() -> TestResult {
    let nats = Nats::start().await?;
    for digest in [false, true] {
        let settings = NatsSettings {
            digest,
            bucket: format!("digest-{digest}"),
            ..settings(&nats.url())
        };
        suite::all(&open(&settings).await?, Traits { early: false }).await;
    }
    Ok(())
}

#[tokio::test]
async fn many_uploads_share_the_budget() -> TestResult {
    let nats = Nats::start().await?;
    let budget = budget(4 * 9 * CHUNK);
    let store = NatsStore::open(&settings(&nats.url()), "many", budget.clone()).await?;
    let data = bytes(5 * MIB + 17);
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
            Err(StoreError::Full(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((kept.len(), refused), (4, 8), "nine chunks for each");
    for payload in &kept {
        assert!(whole(payload).await? == data);
    }
    drop(kept);
    until("the memory to be given back", SOON, async || {
        Ok((budget.used() == 0).then_some(()))
    })
    .await?;
    nothing_is_left(&store).await
}

#[tokio::test]
async fn a_full_stream_refuses_and_discards_nothing() -> TestResult {
    let nats = Nats::start().await?;
    let settings = NatsSettings {
        max_bytes: Some(4 * MIB as u64),
        ..settings(&nats.url())
    };
    let store = open(&settings).await?;
    let first = bytes(3 * MIB);
    let payload = stored(&store, &first, Life::Kept).await?;
    // of known length: at once
    match create(&store, Some(2 * MIB), Life::Kept).await.map(drop) {
        Err(StoreError::Full(full)) => {
            assert_eq!((full.limit, full.setting), (4 << 20, "store.nats.maxBytes"));
            assert!(full.used >= 3 << 20 && full.asked >= 2 << 20, "{full}");
        }
        other => panic!("{other:?}"),
    }
    // of unknown length: when the stream says so
    let mut writer = create(&store, None, Life::Kept).await?;
    let refused = match fill(&mut *writer, &bytes(2 * MIB)).await {
        Ok(()) => writer.finish().await.map(drop),
        Err(error) => {
            drop(writer);
            Err(error)
        }
    };
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    until("the broken one to be gone", SOON, async || {
        Ok((listed(&store).await? == 1).then_some(()))
    })
    .await?;
    assert!(whole(&payload).await? == first, "nothing was discarded");
    // deleting needs no room, and makes some
    let claim = payload.claim();
    let filler = stored(&store, &bytes(900 << 10), Life::Kept).await?;
    store.delete(claim.id).await?;
    store.delete(filler.claim().id).await?;
    let again = stored(&store, &first, Life::Held).await?;
    assert!(whole(&again).await? == first);
    Ok(())
}

#[tokio::test]
async fn two_at_once_are_not_given_the_same_room() -> TestResult {
    let nats = Nats::start().await?;
    let settings = NatsSettings {
        max_bytes: Some(4 * MIB as u64),
        ..settings(&nats.url())
    };
    let store = open(&settings).await?;
    let first = create(&store, Some(3 * MIB), Life::Held).await?;
    let second = create(&store, Some(3 * MIB), Life::Held).await.map(drop);
    assert!(matches!(second, Err(StoreError::Full(_))), "{second:?}");
    drop(first);
    until("the room to be given back", SOON, async || {
        Ok(Some(create(&store, Some(3 * MIB), Life::Held).await?))
    })
    .await
    .map(drop)
}

#[tokio::test]
async fn the_last_quarter_of_the_stream_is_for_replies() -> TestResult {
    let nats = Nats::start().await?;
    let settings = NatsSettings {
        max_bytes: Some(4 * MIB as u64),
        ..settings(&nats.url())
    };
    let store = open(&settings).await?;
    let _most = stored(&store, &bytes(3 * MIB), Life::Kept).await?;
    for length in [Some(1), None] {
        match create_for(Draw::Door, &store, length, Life::Held)
            .await
            .map(drop)
        {
            Err(StoreError::Full(full)) => assert_eq!(full.limit, 3 << 20),
            other => panic!("{other:?}"),
        }
        drop(create_for(Draw::Reply, &store, length, Life::Held).await?);
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_that_is_broken_off_leaves_nothing() -> TestResult {
    let (_nats, store) = bed().await?;
    let data = bytes(2 * MIB);
    let mut writer = create(&store, Some(3 * MIB), Life::Kept).await?;
    fill(&mut *writer, &data).await?;
    until("a chunk to be there", SOON, async || {
        Ok((listed(&store).await? > 0).then_some(()))
    })
    .await?;
    drop(writer);
    nothing_is_left(&store).await?;
    let mut writer = create(&store, Some(2 * MIB), Life::Kept).await?;
    fill(&mut *writer, &data).await?;
    let mut finish = writer.finish();
    // begun, and then nobody waits for it
    assert!(futures_util::poll!(&mut finish).is_pending());
    drop(finish);
    nothing_is_left(&store).await
}

#[tokio::test]
async fn what_a_dead_process_left_is_listed_and_can_be_deleted() -> TestResult {
    let (nats, store) = bed().await?;
    // as in a process that dies: its tasks stop where they are
    let died = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let settings = settings(&nats.url());
    let begun = died.spawn(async move {
        let store = open(&settings).await?;
        let mut writer = create(&store, Some(3 * MIB), Life::Held).await?;
        fill(&mut *writer, &bytes(2 * MIB)).await?;
        anyhow::Ok((store, writer))
    });
    let held = begun.await??;
    until("chunks to be there", SOON, async || {
        Ok((listed(&store).await? > 0).then_some(()))
    })
    .await?;
    tokio::task::spawn_blocking(move || died.shutdown_timeout(SOON)).await?;
    drop(held);
    let entries: Vec<_> = store.list().collect().await;
    let left = entries.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(left.len(), 1);
    assert!(left[0].bytes >= CHUNK as u64, "{left:?}");
    store.delete(left[0].id).await?;
    nothing_is_left(&store).await
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_write_breaks_it() -> TestResult {
    let (mut nats, store) = bed().await?;
    let data = bytes(8 * MIB);
    let mut writer = create(&store, Some(data.len()), Life::Kept).await?;
    let payload = Arc::clone(writer.payload());
    fill(&mut *writer, &data.slice(..MIB)).await?;
    nats.server().kill().await?;
    let rest = data.slice(MIB..);
    let written = match within("a refusal", SOON, fill(&mut *writer, &rest)).await? {
        Ok(()) => within("a refusal", SOON, writer.finish()).await?.map(drop),
        Err(error) => {
            drop(writer);
            Err(error)
        }
    };
    assert_unavailable(written, Tier::Nats);
    assert_eq!(payload.progress(), Progress::Broken);
    assert_unavailable(stored(&store, &bytes(10), Life::Held).await, Tier::Nats);
    nats.server().restart().await?;
    // the client comes back by itself; what the server still had of the broken one may be left to a sweep
    until("another one to be taken", SOON, async || {
        let payload = stored(&store, &data, Life::Held).await?;
        anyhow::ensure!(whole(&payload).await? == data);
        Ok(Some(()))
    })
    .await?;
    until("a sweep to leave nothing", SOON, async || {
        let entries: Vec<_> = store.list().collect().await;
        for entry in entries {
            store.delete(entry?.id).await?;
        }
        Ok((listed(&store).await? == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_read_fails_it_and_keeps_what_it_has() -> TestResult {
    let (mut nats, store) = bed().await?;
    let data = bytes(20 * MIB);
    let claim = stored(&store, &data, Life::Kept).await?.claim();
    let payload = store.find(&claim).await?;
    let mut reader = payload.read(0..claim.size);
    let first = next(&mut *reader).await.expect("some bytes")?;
    assert!(data.starts_with(&first));
    nats.server().kill().await?;
    let broke = within("an error", SOON, support::rest(reader)).await?;
    assert!(matches!(broke, Err(ReadError::Store(_))), "{broke:?}");
    nats.server().restart().await?;
    // another process: nothing is known but the claim
    drop(store);
    let store = open(&settings(&nats.url())).await?;
    let claim: ClaimCheck = claim.to_string().parse()?;
    let payload = store.find(&claim).await?;
    assert!(whole(&payload).await? == data);
    assert_eq!(listed(&store).await?, 1);
    store.delete(claim.id).await?;
    nothing_is_left(&store).await
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() -> TestResult {
    let mut nats = Nats::start().await?;
    let toxiproxy = Toxiproxy::start().await?;
    let proxy = toxiproxy.proxy("nats", nats.server().address()).await?;
    let store = open(&settings(&format!("nats://{}", proxy.address))).await?;
    let data = bytes(4 * MIB);
    let payload = stored(&store, &data, Life::Held).await?;
    proxy.black_hole().await?;
    let broke = within("an error", SOON, whole(&payload)).await?;
    assert!(matches!(broke, Err(ReadError::Store(_))), "{broke:?}");
    assert_unavailable(
        within("a refusal", SOON, stored(&store, &data, Life::Held)).await?,
        Tier::Nats,
    );
    proxy.heal().await?;
    until("it to be read again", 3 * SOON, async || {
        anyhow::ensure!(whole(&payload).await? == data);
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn the_server_may_come_later() -> TestResult {
    let mut nats = Nats::start().await?;
    nats.server().kill().await?;
    let store = open(&settings(&nats.url())).await?;
    assert_unavailable(within("a refusal", SOON, store.check()).await?, Tier::Nats);
    nats.server().restart().await?;
    until("the stream to be made", SOON, async || {
        Ok(Some(store.check().await?))
    })
    .await
}

#[tokio::test]
async fn a_stream_of_somebody_else_is_not_touched() -> TestResult {
    let nats = Nats::start().await?;
    let client = async_nats::connect(nats.url()).await?;
    let context = async_nats::jetstream::new(client);
    let theirs = async_nats::jetstream::stream::Config {
        name: "payloads".into(),
        subjects: vec!["orders.>".into()],
        ..Default::default()
    };
    context.create_stream(theirs).await?;
    let store = open(&settings(&nats.url())).await?;
    let refused = store.check().await.expect_err("refused").to_string();
    assert!(
        refused.contains("subjects") && refused.contains("store.nats.bucket"),
        "{refused}"
    );
    let stream = context.get_stream("payloads").await?;
    assert_eq!(stream.cached_info().config.subjects, ["orders.>"]);
    Ok(())
}

#[tokio::test]
async fn the_limits_of_the_stream_are_those_of_the_settings() -> TestResult {
    let nats = Nats::start().await?;
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await?);
    let mut settings = settings(&nats.url());
    for (bytes, hours) in [(None, 1), (Some(MIB as u64), 2), (Some(2 * MIB as u64), 1)] {
        settings.max_bytes = bytes;
        settings.ttl = Some(Duration::from_secs(3600 * hours));
        let store = open(&settings).await?;
        store.check().await?;
        let stream = context.get_stream("payloads").await?;
        let config = &stream.cached_info().config;
        assert_eq!(u64::try_from(config.max_bytes).ok(), bytes);
        assert_eq!(Some(config.max_age), settings.ttl);
    }
    Ok(())
}

#[tokio::test]
async fn a_link_holds_bytes_that_are_deleted_at_the_same_time_or_is_refused() -> TestResult {
    let (_nats, store) = bed().await?;
    let data = bytes(3 * CHUNK);
    for round in 0..60 {
        let mut claim = stored(&store, &data, Life::Kept).await?.claim();
        if round % 2 == 0 {
            // of a link, whose first is gone
            let first = claim.id;
            claim = store.link(&claim).await?.claim();
            store.delete(first).await?;
        }
        let (linked, deleted) = futures_util::join!(store.link(&claim), store.delete(claim.id));
        deleted?;
        match linked {
            Ok(link) => {
                assert!(whole(&link).await? == data);
                store.delete(link.claim().id).await?;
            }
            Err(StoreError::Read(ReadError::Missing(_))) => {}
            Err(other) => panic!("{other}"),
        }
        assert_eq!(listed(&store).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_made_again_and_its_payloads_are_missing() -> TestResult {
    let (nats, store) = bed().await?;
    let claim = stored(&store, &bytes(MIB), Life::Kept).await?.claim();
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await?);
    context.delete_stream("payloads").await?;
    until("another one to be taken", SOON, async || {
        Ok(Some(stored(&store, &bytes(10), Life::Held).await?))
    })
    .await?;
    let missing = store.find(&claim).await.expect_err("it is gone");
    assert!(
        matches!(missing, StoreError::Read(ReadError::Missing(_))),
        "{missing}"
    );
    Ok(())
}
