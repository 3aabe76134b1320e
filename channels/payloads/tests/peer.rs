//! Payloads of other gateways, with a transport in this process that the tests hold on a string.

mod support;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all, poll_fn};
use futures_util::{FutureExt, poll};
use support::{MIB, budget, bytes, next, rest, whole};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use towpath_event::{ClaimCheck, Digest, PayloadId, Place, Progress, Read, ReadError};
use towpath_harness::TestResult;
use towpath_harness::poll::{SOON, until, within};
use towpath_payloads::{
    Begin, Budget, Draw, MemoryStore, NodeStore, PeerTransport, Peers, StoreError, Stores,
};

const SIZE: usize = 300_000;

/// Gives what the test sends it.
#[derive(Debug)]
struct Transport {
    asked: AtomicUsize,
    chunks: Mutex<Vec<Receiver<Result<Bytes, ReadError>>>>,
}

struct Given(Receiver<Result<Bytes, ReadError>>);

impl Read for Given {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        self.0.poll_recv(cx)
    }
}

impl PeerTransport for Transport {
    fn read<'a>(
        &'a self,
        claim: &'a ClaimCheck,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Read>, ReadError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            assert_eq!(range, 0..claim.size);
            match self.chunks.lock().await.pop() {
                Some(chunks) => Ok(Box::new(Given(chunks)) as Box<dyn Read>),
                None => Err(ReadError::Missing(claim.to_string().into())),
            }
        })
    }
}

struct Bed {
    peers: Peers,
    transport: Arc<Transport>,
    budget: Budget,
    claim: ClaimCheck,
}

fn bed(size: usize) -> Bed {
    let budget = budget(1 << 20);
    let memory = Arc::new(MemoryStore::new(budget.clone(), false));
    bed_of(size, budget, Stores::new(memory, 1 << 20))
}

fn bed_of(size: usize, budget: Budget, stores: Stores) -> Bed {
    let transport = Arc::new(Transport {
        asked: AtomicUsize::new(0),
        chunks: Mutex::default(),
    });
    Bed {
        peers: Peers::new(Arc::clone(&transport) as _, stores),
        transport,
        budget,
        claim: ClaimCheck {
            id: PayloadId::from_bytes([9; 16]),
            size: size as u64,
            digest: None,
            place: Place::Node("elsewhere".into()),
        },
    }
}

impl Bed {
    async fn flight(&self) -> Sender<Result<Bytes, ReadError>> {
        let (chunks, given) = channel(100);
        self.transport.chunks.lock().await.push(given);
        chunks
    }

    async fn open(&self) -> Result<Arc<dyn towpath_event::SetAside>, StoreError> {
        let begin = Begin {
            namespace: &Arc::from("tests"),
            draw: Draw::Door,
            length: None,
            as_file: false,
        };
        self.peers.open(&self.claim, begin).await
    }

    fn asked(&self) -> usize {
        self.transport.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn many_wait_for_one_fetch_and_read_what_has_come() -> TestResult {
    let bed = bed(SIZE);
    let chunks = bed.flight().await;
    let data = bytes(SIZE);
    let payloads = join_all((0..50).map(|_| bed.open())).await;
    let payloads = payloads.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut readers: Vec<_> = payloads
        .iter()
        .map(|payload| Arc::clone(payload).read(0..SIZE as u64))
        .collect();
    assert!(next(&mut *readers[0]).now_or_never().is_none());
    chunks.send(Ok(data.slice(..1000))).await?;
    for reader in &mut readers {
        let first = within("the first bytes", SOON, next(&mut **reader)).await?;
        assert_eq!(first, Some(Ok(data.slice(..1000))), "before the end");
    }
    assert_eq!(payloads[0].progress(), Progress::Growing);
    assert_eq!(payloads[0].claim(), bed.claim);
    chunks.send(Ok(data.slice(1000..))).await?;
    drop(chunks);
    for reader in readers {
        assert!(within("the rest", SOON, rest(reader)).await?? == data[1000..]);
    }
    within("the end", SOON, payloads[0].completed()).await??;
    let late = bed.open().await?;
    let part = Arc::clone(&late).read(7..77);
    assert!(rest(part).await? == data[7..77]);
    assert_eq!(bed.asked(), 1);
    assert_eq!(bed.budget.used(), SIZE as u64, "one copy");
    drop((payloads, late));
    until("the copy to be gone", SOON, async || {
        Ok((bed.budget.used() == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_fetch_that_breaks_fails_all_and_the_next_begins_anew() -> TestResult {
    let bed = bed(SIZE);
    let data = bytes(SIZE);
    let gone = ReadError::Store("the other gateway has gone".into());
    let chunks = bed.flight().await;
    let payloads = [bed.open().await?, bed.open().await?];
    chunks.send(Ok(data.slice(..1000))).await?;
    chunks.send(Err(gone.clone())).await?;
    for payload in &payloads {
        let failed = within("an error", SOON, whole(payload)).await?;
        assert_eq!(failed, Err(gone.clone()), "and not that the sender broke");
        assert_eq!(payload.completed().await, Err(gone.clone()));
    }
    // the broken handles still live
    let chunks = bed.flight().await;
    let again = bed.open().await?;
    drop(payloads);
    chunks.send(Ok(data.clone())).await?;
    drop(chunks);
    assert!(within("all of it", SOON, whole(&again)).await?? == data);
    assert!(whole(&bed.open().await?).await? == data);
    assert_eq!(bed.asked(), 2);
    Ok(())
}

#[tokio::test]
async fn what_is_nowhere_or_not_whole_is_told() -> TestResult {
    let bed = bed(SIZE);
    let nowhere = whole(&bed.open().await?).await;
    assert!(matches!(nowhere, Err(ReadError::Missing(_))), "{nowhere:?}");
    for length in [SIZE - 1, SIZE + 1] {
        let chunks = bed.flight().await;
        chunks.send(Ok(bytes(length))).await?;
        drop(chunks);
        let wrong = within("an error", SOON, whole(&bed.open().await?)).await?;
        assert!(matches!(wrong, Err(ReadError::Damaged(_))), "{wrong:?}");
    }
    let chunks = bed.flight().await;
    chunks.send(Ok(bytes(SIZE))).await?;
    drop(chunks);
    let bed = Bed {
        claim: ClaimCheck {
            digest: Some(Digest::from_bytes([1; 32])),
            ..bed.claim.clone()
        },
        ..bed
    };
    let altered = within("an error", SOON, whole(&bed.open().await?)).await?;
    assert!(matches!(altered, Err(ReadError::Damaged(_))), "{altered:?}");
    Ok(())
}

#[tokio::test]
async fn a_fetch_that_nobody_wants_any_more_ends() -> TestResult {
    let bed = bed(SIZE);
    let chunks = bed.flight().await;
    let payload = bed.open().await?;
    let mut reader = Arc::clone(&payload).read(0..SIZE as u64);
    chunks.send(Ok(bytes(1000))).await?;
    within("the first bytes", SOON, next(&mut *reader)).await?;
    drop(payload);
    chunks.send(Ok(bytes(2000))).await?;
    let more = within("the reader holds it", SOON, next(&mut *reader)).await?;
    assert_eq!(more, Some(Ok(bytes(2000))));
    drop(reader);
    within("the fetch to end", SOON, chunks.closed()).await?;
    until("the memory to be given back", SOON, async || {
        Ok((bed.budget.used() == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn without_room_it_is_refused_and_who_waits_tries_too() -> TestResult {
    let bed = bed(2 << 20);
    let refused = join_all((0..3).map(|_| bed.open())).await;
    for refused in refused {
        let error = refused.map(drop).expect_err("no room");
        assert!(matches!(error, StoreError::Full(_)), "{error}");
    }
    assert_eq!((bed.asked(), bed.budget.used()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn an_empty_payload_is_fetched_too() -> TestResult {
    let bed = bed(0);
    drop(bed.flight().await);
    let payload = bed.open().await?;
    assert_eq!(whole(&payload).await?, Vec::<u8>::new());
    let mut completed = payload.completed();
    let _ = poll!(&mut completed);
    within("the end", SOON, completed).await??;
    let mut none = Arc::clone(&payload).read(0..0);
    assert_eq!(poll_fn(|cx| none.poll_chunk(cx)).await, None);
    Ok(())
}

#[tokio::test]
async fn a_large_one_streams_through_a_node_store_that_holds_little_in_memory() -> TestResult {
    let dir = tempfile::tempdir()?;
    let quota = budget(64 * MIB);
    let node = NodeStore::open(dir.path(), quota.clone(), 2 << 20, false)?;
    let memory = Arc::new(MemoryStore::new(budget(MIB), false));
    let stores = Stores::new(memory, 1 << 20).with_node(Arc::new(node));
    let data = bytes(20 * MIB);
    let bed = bed_of(data.len(), quota, stores);
    let chunks = bed.flight().await;
    let size = data.len() as u64;
    let mut keeps_up = bed.open().await?.read(0..size);
    let first = data.slice(..10 * MIB);
    let sending = {
        let (chunks, first) = (chunks.clone(), first.clone());
        tokio::spawn(async move {
            for at in (0..first.len()).step_by(100 << 10) {
                let end = first.len().min(at + (100 << 10));
                chunks.send(Ok(first.slice(at..end))).await?;
            }
            anyhow::Ok(())
        })
    };
    let mut came = Vec::new();
    while came.len() < first.len() {
        let chunk = within("a chunk", SOON, next(&mut *keeps_up)).await?;
        came.extend_from_slice(&chunk.expect("more")?);
    }
    sending.await??;
    let late = bed.open().await?;
    assert_eq!(late.progress(), Progress::Growing);
    let late = tokio::spawn(rest(late.read(0..size)));
    chunks.send(Ok(data.slice(10 * MIB..))).await?;
    drop(chunks);
    came.extend(within("the rest", SOON, rest(keeps_up)).await??);
    assert!(came == data);
    assert!(within("all of it", SOON, late).await??? == data);
    assert_eq!(bed.asked(), 1, "they share it");
    Ok(())
}
