//! C2: overload, probes and shutdown.

use http::Method;
use towpath_harness::manifest::channel_path;
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Answer, Bed, Event, Gate, Message, Sender, Spec, TestResult};

#[tokio::test]
async fn c2_10_a_full_channel_is_503_with_retry_after() -> TestResult {
    let bed = Bed::setup().set("memory.maxEvents", "1").start().await?;
    let gate = Gate::closed();
    bed.subscriber.script([Answer::status(202).behind(&gate)]);
    let first = Event::numbered(1);
    let second = async {
        bed.subscriber.await_count(1, SOON).await?;
        let refused = bed.event(&Event::numbered(2)).await?;
        gate.open();
        anyhow::Ok(refused)
    };
    let (first, refused) = tokio::join!(bed.event(&first), second);
    let refused = refused?;
    assert!(matches!(refused.code(), 429 | 503), "{}", refused.status);
    assert!(
        refused.header("retry-after").parse::<u32>().is_ok(),
        "Retry-After: {:?}",
        refused.header("retry-after")
    );
    assert_eq!(first?.code(), 202);
    assert_eq!(bed.event(&Event::numbered(3)).await?.code(), 202);
    assert_eq!(bed.subscriber.count(), 2);
    Ok(())
}

#[tokio::test]
async fn c2_12_kubelet_probe_is_answered_on_any_path_and_never_routed() -> TestResult {
    let bed = Bed::start().await?;
    let probe = Event::full(Spec::V10)
        .binary()
        .header("user-agent", "kube-probe/1.35");
    for path in ["/", "/healthz", "/nowhere/at/all", &channel_path("in")] {
        for method in [Method::GET, Method::POST] {
            let response = bed
                .gateway
                .sender()
                .request(method.clone(), path, &probe)
                .await?;
            assert_eq!(response.code(), 200, "{method} {path}");
        }
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c2_13_network_probe_echoes_its_hash() -> TestResult {
    let bed = Bed::start().await?;
    let probe = Message::default().header("k-network-probe", "probe");
    let good = probe.clone().header("k-network-hash", "abc123");
    let response = bed
        .gateway
        .sender()
        .request(Method::GET, &channel_path("in"), &good)
        .await?;
    assert_eq!(response.code(), 200);
    assert_eq!(response.header("k-network-hash"), "abc123");
    let empty = probe.header("k-network-hash", "");
    let response = bed
        .gateway
        .sender()
        .request(Method::GET, &channel_path("in"), &empty)
        .await?;
    assert_eq!(response.code(), 400);
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c2_18_sigterm_fails_readiness_finishes_what_is_in_flight_and_exits_0() -> TestResult {
    let mut bed = Bed::setup().set("shutdown.delay", "2s").start().await?;
    let gate = Gate::closed();
    bed.subscriber.script([Answer::status(202).behind(&gate)]);
    let (public, path) = (bed.gateway.listening, channel_path("in"));
    let held = tokio::spawn(async move {
        Sender::new(public)
            .post(&path, &Event::numbered(1).binary())
            .await
    });
    bed.subscriber.await_count(1, SOON).await?;
    assert_eq!(bed.gateway.admin("/readyz").await?.code(), 200);
    bed.gateway.terminate()?;

    until("readiness to fail", SOON, async || {
        Ok((bed.gateway.admin("/readyz").await?.code() == 503).then_some(()))
    })
    .await?;
    let probes = [
        Message::default().header("user-agent", "kube-probe/1.35"),
        Message::default()
            .header("k-network-probe", "probe")
            .header("k-network-hash", "abc"),
    ];
    for probe in probes {
        let response = bed
            .gateway
            .sender()
            .request(Method::GET, "/", &probe)
            .await?;
        assert_eq!(response.code(), 503, "{probe:?}");
    }
    // Senders that have not noticed yet are still served.
    assert_eq!(bed.event(&Event::numbered(2)).await?.code(), 202);

    gate.open();
    assert_eq!(held.await??.code(), 202);
    let (status, more) = bed.gateway.ended(SOON).await?;
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(more, "", "stdout carries one line only");
    Ok(())
}
