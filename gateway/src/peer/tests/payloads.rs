//! Payloads from gateway to gateway, and their leases.

use futures_util::future::poll_fn;
use towpath_event::{ClaimCheck, PayloadId, Place, Progress, Read, ReadError};
use towpath_payloads::StoreError;

use super::*;

static DATA: [u8; 400_000] = {
    let mut data = [0; 400_000];
    let mut at = 0;
    while at < data.len() {
        data[at] = (at % 251) as u8;
        at += 1;
    }
    data
};

async fn read(mut reader: Box<dyn Read>) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

async fn open(node: &Node, claim: &ClaimCheck) -> Result<Arc<dyn SetAside>, StoreError> {
    let begin = Begin {
        namespace: &"ns".into(),
        draw: Draw::Reply,
        length: None,
        as_file: false,
    };
    node.links.open(claim, begin).await
}

#[tokio::test]
async fn what_is_lent_is_read_by_the_owner() {
    let (a, b) = two(Scripted::default()).await;
    let payload = stored(&DATA);
    let guard = a.links.lend(&payload).unwrap();
    let claim = a.links.claim(&payload);
    assert_eq!(claim.place, Place::Gateway("a".into()));
    let there = open(&b, &claim).await.unwrap();
    assert_eq!(
        read(Arc::clone(&there).read(0..400_000)).await.unwrap(),
        DATA
    );
    assert_eq!(
        read(there.read(5..300_000)).await.unwrap(),
        DATA[5..300_000]
    );
    assert_eq!(*b.observed.lock().unwrap(), [("a".to_owned(), 400_000)]);
    let own = open(&a, &claim).await.unwrap();
    assert!(Arc::ptr_eq(&own, &payload), "its own is not fetched");
    drop(guard);
    let missing = open(&b, &claim).await.unwrap();
    let missing = read(missing.read(0..1)).await;
    assert!(matches!(missing, Err(ReadError::Missing(_))), "{missing:?}");
    let own = open(&a, &claim).await;
    assert!(matches!(own, Err(StoreError::Read(ReadError::Missing(_)))));
}

#[tokio::test]
async fn what_still_grows_is_read_as_it_grows_and_says_nothing_of_the_network() {
    let (a, b) = two(Scripted::default()).await;
    let mut writer = writer(DATA.len()).await;
    let payload = Arc::clone(writer.payload());
    let _guard = a.links.lend(&payload);
    writer
        .write(Bytes::from_static(&DATA[..1000]))
        .await
        .unwrap();
    let there = open(&b, &a.links.claim(&payload)).await.unwrap();
    let mut reader = Arc::clone(&there).read(0..400_000);
    let first = poll_fn(|cx| reader.poll_chunk(cx)).await.unwrap().unwrap();
    assert_eq!(first, DATA[..first.len()]);
    assert_eq!(there.progress(), Progress::Growing);
    writer
        .write(Bytes::from_static(&DATA[1000..]))
        .await
        .unwrap();
    writer.finish().await.unwrap();
    let rest = read(reader).await.unwrap();
    assert_eq!(rest, DATA[first.len()..]);
    assert!(b.observed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_source_that_breaks_never_makes_a_short_payload() {
    let (a, b) = two(Scripted::default()).await;
    let mut writer = writer(DATA.len()).await;
    let payload = Arc::clone(writer.payload());
    let _guard = a.links.lend(&payload);
    writer
        .write(Bytes::from_static(&DATA[..1000]))
        .await
        .unwrap();
    let there = open(&b, &a.links.claim(&payload)).await.unwrap();
    let mut reader = Arc::clone(&there).read(0..400_000);
    poll_fn(|cx| reader.poll_chunk(cx)).await.unwrap().unwrap();
    drop(writer);
    assert!(read(reader).await.is_err());
    until(|| there.progress() == Progress::Broken).await;
}

#[tokio::test]
async fn a_reply_is_kept_until_the_last_handle_to_it_is_dropped() {
    let (a, b) = two(Scripted::default()).await;
    let payload = stored(&DATA);
    let claim = b.links.keep(&"a".into(), &payload);
    let id = claim.id;
    drop(payload);
    let held = a.links.held(claim.clone(), &"ns".into(), false);
    assert_eq!(
        (held.size(), held.progress()),
        (400_000, Progress::Complete)
    );
    assert_eq!(held.claim().place, Place::Gateway("b".into()));
    assert!(
        a.observed.lock().unwrap().is_empty(),
        "fetched before it is read"
    );
    assert!(a.links.lend(&held).is_none(), "b lets others read it");
    assert_eq!(a.links.claim(&held), claim);
    for _ in 0..2 {
        let range = Arc::clone(&held).read(100..400_000);
        assert_eq!(read(range).await.unwrap(), DATA[100..]);
    }
    assert_eq!(a.observed.lock().unwrap().len(), 1, "fetched once");
    assert!(b.lent.get(id).is_some());
    drop(held);
    until(|| b.lent.get(id).is_none()).await;
}

#[tokio::test]
async fn a_third_gateway_reads_it_where_it_rests() {
    let ports = (port("a").await, port("b").await, port("c").await);
    let peers = [
        setting("a", ports.0.address),
        setting("b", ports.1.address),
        setting("c", ports.2.address),
    ];
    let a = start(ports.0, &peers[1..], Scripted::default());
    let b = start(ports.1, &peers[..1], Scripted::default());
    let c = start(ports.2, &peers[..2], Scripted::default());
    let payload = stored(&DATA);
    let claim = b.links.keep(&"a".into(), &payload);
    let held = a.links.held(claim, &"ns".into(), false);
    let there = open(&c, &a.links.claim(&held)).await.unwrap();
    assert_eq!(read(there.read(0..400_000)).await.unwrap(), DATA);
    assert_eq!(*c.observed.lock().unwrap(), [("b".to_owned(), 400_000)]);
    assert!(a.observed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reply_that_passes_on_what_was_lent_is_that() {
    let (a, b) = two(Scripted::default()).await;
    let payload = stored(&DATA);
    let _guard = a.links.lend(&payload);
    let there = open(&b, &a.links.claim(&payload)).await.unwrap();
    let claim = b.links.keep(&"a".into(), &there);
    let back = a.links.held(claim, &"ns".into(), false);
    assert!(Arc::ptr_eq(&back, &payload));
}

#[tokio::test]
async fn what_nobody_has_is_missing() {
    let (a, _b) = two(Scripted::default()).await;
    for (node, expected) in [("b", "missing"), ("nowhere", "no gateway is known")] {
        let claim = ClaimCheck {
            id: PayloadId::from_bytes([1; 16]),
            size: 10,
            digest: None,
            place: Place::Gateway(node.into()),
        };
        let held = a.links.held(claim, &"ns".into(), false);
        let error = read(held.read(0..10)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
