//! A producer that breaks off, as subscribers see it over TLS and over HTTP/2.

use anyhow::Result;
use http::Version;
use serde_json::{Value, json};
use towpath_harness::manifest::{endpoints, reference, service};
use towpath_harness::poll::{SOON, until};
use towpath_harness::tls::Authority;
use towpath_harness::{Gateway, Subscriber, TestResult};

use crate::payload_kit::{BULKY, CHANNEL, Shelf, TIERS, begun, channel_to, counted};

/// Events that break off.
const BROKEN: usize = 3;

/// Waits until a quarter of the events so far is on its way: the subscriber records no request before it has ended.
async fn under_way(gateway: &Gateway, events: usize) -> Result<()> {
    until("a part of the event to be sent", SOON, async || {
        let metrics = gateway.metrics().await?;
        let sent = metrics.sum("towpath_payload_bytes_total", &[("direction", "out")]);
        let least = (events - 1) * BULKY / 2 + BULKY / 4;
        Ok((sent > f64::from(u32::try_from(least)?)).then_some(()))
    })
    .await
}

/// Each broken event is seen as broken, once, between whole ones; gives whether a connection was used after a break.
async fn seen_as_broken(subscriber: &Subscriber, to: Value, version: Version) -> Result<bool> {
    let mut survived = false;
    for (tier, memory) in TIERS {
        let (shelf, dead) = (Shelf::new()?, Subscriber::start().await?);
        let step = service("step", "h2c", 80);
        let slice = endpoints("step", "h2c", subscriber.address());
        let [channel, hop] = channel_to("http://nowhere", &dead.url("/"));
        let hop = hop.spec("subscriber", to.clone());
        let launch = shelf.launch([step, slice, channel, hop]);
        let mut gateway = launch
            .set("store.memory.maxPayload", memory)
            .start()
            .await?;
        let before = subscriber.count();
        gateway.goes_on(CHANNEL).await?;
        for events in 1..=BROKEN {
            let raw = begun(&gateway, BULKY, BULKY / 2).await?;
            under_way(&gateway, events).await?;
            raw.reset()?;
            subscriber.await_count(before + events + 1, SOON).await?;
            shelf.at_rest(&gateway).await?;
        }
        gateway.goes_on(CHANNEL).await?;
        let requests = subscriber.requests().split_off(before);
        let whole: Vec<bool> = requests.iter().map(|request| request.whole).collect();
        assert_eq!(whole, [true, false, false, false, true], "{tier}");
        assert!(
            requests.iter().all(|request| request.version == version),
            "{tier}"
        );
        assert_eq!(dead.count(), 0, "{tier}");
        assert_eq!(
            counted(&gateway, "towpath_retries_total").await?,
            0,
            "{tier}"
        );
        // A connection that carried something after a break.
        survived |= requests.iter().enumerate().any(|(at, request)| {
            let mut later = requests.iter().skip(at + 1);
            !request.whole && later.any(|later| later.connection == request.connection)
        });
    }
    Ok(survived)
}

#[tokio::test]
async fn a_break_is_none_over_tls() -> TestResult {
    let authority = Authority::new()?;
    let subscriber = Subscriber::start_tls(authority.server_http1()?).await?;
    let to = json!({"uri": subscriber.url("/"), "CACerts": authority.pem()});
    let survived = seen_as_broken(&subscriber, to, Version::HTTP_11).await?;
    assert!(!survived, "a connection that broke was used again");
    Ok(())
}

/// It is the end of its stream, and of nothing else: the connection goes on.
#[tokio::test]
async fn a_break_is_none_over_http2() -> TestResult {
    let authority = Authority::new()?;
    let tls = Subscriber::start_tls(authority.server()?).await?;
    let to_tls = json!({"uri": tls.url("/"), "CACerts": authority.pem()});
    let plain = Subscriber::start().await?;
    let to_plain = reference(&service("step", "h2c", 80));
    for (subscriber, to) in [(plain, to_plain), (tls, to_tls)] {
        let survived = seen_as_broken(&subscriber, to, Version::HTTP_2).await?;
        assert!(survived, "every break ended its connection");
    }
    Ok(())
}
