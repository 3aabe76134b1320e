//! C1: which request belongs to which channel.

use http::Method;
use towpath_harness::manifest::{in_memory_channel, subscription, uri};
use towpath_harness::{Bed, Event, Gateway, Message, Spec, Subscriber, TestResult};

fn event() -> Message {
    Event::full(Spec::V10).binary()
}

async fn status(bed: &Bed, host: &str, path: &str) -> anyhow::Result<u16> {
    let message = if host.is_empty() {
        event()
    } else {
        event().header("host", host)
    };
    Ok(bed
        .gateway
        .sender()
        .request(Method::POST, path, &message)
        .await?
        .code())
}

#[tokio::test]
async fn c1_1_each_channel_has_its_own_address() -> TestResult {
    let (left, right) = (Subscriber::start().await?, Subscriber::start().await?);
    let (a, b) = (in_memory_channel("a"), in_memory_channel("b"));
    let to_left = subscription("to-left", &a, uri(left.url("/")));
    let to_right = subscription("to-right", &b, uri(right.url("/")));
    let gateway = Gateway::with([a, b, to_left, to_right]).start().await?;
    assert_eq!(
        gateway
            .post("a", &Event::numbered("for-a").binary())
            .await?
            .code(),
        202
    );
    assert_eq!(
        gateway
            .post("b", &Event::numbered("for-b").binary())
            .await?
            .code(),
        202
    );
    assert_eq!(Event::of(&left.only()?)?.text("id"), "for-a");
    assert_eq!(Event::of(&right.only()?)?.text("id"), "for-b");
    Ok(())
}

#[tokio::test]
async fn c1_2_host_of_the_status_address_at_the_root() -> TestResult {
    let bed = Bed::start().await?;
    assert_eq!(
        status(&bed, "in-kn-channel.demo.svc.cluster.local", "/").await?,
        202
    );
    assert_eq!(bed.subscriber.count(), 1);
    Ok(())
}

#[tokio::test]
async fn c1_2_path_of_namespace_and_name() -> TestResult {
    let bed = Bed::start().await?;
    for path in [
        "/demo/in",
        "/channels/demo/in",
        "/channels/demo/in?a=b",
        "/demo/in?a=b",
    ] {
        assert_eq!(status(&bed, "", path).await?, 202, "{path}");
    }
    assert_eq!(bed.subscriber.count(), 4);
    Ok(())
}

#[tokio::test]
async fn c1_2_host_of_a_channel_with_another_path_is_400() -> TestResult {
    let bed = Bed::start().await?;
    assert_eq!(
        status(&bed, "in-kn-channel.demo.svc.cluster.local", "/elsewhere").await?,
        400
    );
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c1_3_hosts_are_matched_in_every_form_that_clients_use() -> TestResult {
    let bed = Bed::start().await?;
    let forms = [
        "in-kn-channel.demo.svc.cluster.local:80",
        "in-kn-channel.demo.svc.cluster.local.",
        "in-kn-channel.demo.svc.cluster.local.:80",
        "in-kn-channel.demo.svc",
        "in-kn-channel.demo.svc:80",
        "in-kn-channel.demo",
        "in-kn-channel.demo:80",
        "IN-KN-Channel.Demo.SVC.Cluster.Local",
    ];
    for host in forms {
        assert_eq!(status(&bed, host, "/").await?, 202, "{host}");
    }
    assert_eq!(bed.subscriber.count(), forms.len());
    for host in [
        "in-kn-channel",
        "in.demo",
        "in-kn-channel.other",
        "xin-kn-channel.demo",
        "in-kn-channel.demo.svc.other",
    ] {
        assert_eq!(status(&bed, host, "/").await?, 404, "{host}");
    }
    Ok(())
}

/// The Service name of a channel with a long name is a hash (A6.2): the host is looked up, never taken apart (A6.3).
#[tokio::test]
async fn c1_3_host_of_a_channel_with_63_characters_is_a_hash() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let name = "a".repeat(63);
    let channel = in_memory_channel(&name);
    let to = subscription("s", &channel, uri(subscriber.url("/")));
    let gateway = Gateway::with([channel, to]).start().await?;
    let host =
        "aaaaaaaaaaaaaaaaaaaab06521f39153d618550606be297466d5-kn-channel.demo.svc.cluster.local";
    let response = gateway
        .sender()
        .request(Method::POST, "/", &event().header("host", host))
        .await?;
    assert_eq!(response.code(), 202);
    assert_eq!(subscriber.count(), 1);
    Ok(())
}

#[tokio::test]
async fn c1_5_unknown_channel_is_404() -> TestResult {
    let bed = Bed::start().await?;
    for path in [
        "/channels/demo/other",
        "/channels/other/in",
        "/demo/other",
        "/brokers/demo/in",
        "/",
    ] {
        assert_eq!(status(&bed, "", path).await?, 404, "{path}");
    }
    assert_eq!(
        status(&bed, "other-kn-channel.demo.svc.cluster.local", "/").await?,
        404
    );
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}
