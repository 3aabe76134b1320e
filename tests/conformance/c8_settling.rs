//! C8.8 to C8.15: fan-out, settling, exact counts.

use towpath_harness::manifest::{in_memory_channel, subscription, uri};
use towpath_harness::poll::SOON;
use towpath_harness::{Answer, Event, Gate, Gateway, Sender, Spec, Subscriber, TestResult};

/// One channel with two subscriptions of that delivery spec field.
async fn two(retry: u32) -> anyhow::Result<(Gateway, Subscriber, Subscriber)> {
    let (a, b) = (Subscriber::start().await?, Subscriber::start().await?);
    let channel = in_memory_channel("in");
    let to_a = subscription("a", &channel, uri(a.url("/"))).spec("delivery.retry", retry);
    let to_b = subscription("b", &channel, uri(b.url("/"))).spec("delivery.retry", retry);
    Ok((Gateway::with([channel, to_a, to_b]).start().await?, a, b))
}

#[tokio::test]
async fn c8_10_a_slow_subscriber_delays_no_other() -> TestResult {
    let (gateway, slow, quick) = two(1).await?;
    let gate = Gate::closed();
    slow.script([Answer::status(503).behind(&gate)]);
    let address = gateway.listening;
    let held = tokio::spawn(async move {
        Sender::new(address)
            .post("/channels/demo/in", &Event::numbered(1).binary())
            .await
    });
    slow.await_count(1, SOON).await?;
    quick.await_count(1, SOON).await?;
    // Other events pass the one that is held, too.
    assert_eq!(
        gateway
            .post("in", &Event::numbered(2).binary())
            .await?
            .code(),
        202
    );
    assert!(!held.is_finished(), "answered before it was settled");
    gate.open();
    assert_eq!(held.await??.code(), 202);
    assert_eq!((slow.count(), quick.count()), (3, 2));
    Ok(())
}

#[tokio::test]
async fn c8_12_a_failure_without_dead_letter_sink_is_500_and_the_retry_reaches_all() -> TestResult {
    let (gateway, failing, good) = two(0).await?;
    failing.script([Answer::status(400)]);
    let event = Event::full(Spec::V10).binary();
    assert_eq!(gateway.post("in", &event).await?.code(), 500);
    assert_eq!((failing.count(), good.count()), (1, 1));
    assert_eq!(gateway.post("in", &event).await?.code(), 202);
    assert_eq!((failing.count(), good.count()), (2, 2));
    Ok(())
}

#[tokio::test]
async fn c8_13_each_subscriber_gets_each_event_exactly_once() -> TestResult {
    let (gateway, a, b) = two(3).await?;
    let mut sender = gateway.sender();
    for id in 0..50 {
        assert_eq!(
            sender
                .post("/channels/demo/in", &Event::numbered(id).binary())
                .await?
                .code(),
            202
        );
    }
    for subscriber in [&a, &b] {
        let ids: Vec<String> = subscriber
            .requests()
            .iter()
            .map(|request| request.header("ce-id"))
            .collect();
        assert_eq!(ids, (0..50).map(|id| id.to_string()).collect::<Vec<_>>());
        let connections = subscriber
            .requests()
            .iter()
            .map(|request| request.connection)
            .max();
        assert_eq!(connections, Some(1), "connections are kept");
    }
    Ok(())
}

#[tokio::test]
async fn c8_13_two_subscriptions_of_one_subscriber_are_two_deliveries() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let channel = in_memory_channel("in");
    let both = ["a", "b"].map(|name| subscription(name, &channel, uri(subscriber.url("/"))));
    let gateway = Gateway::with([channel].into_iter().chain(both))
        .start()
        .await?;
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(subscriber.count(), 2);
    Ok(())
}

#[tokio::test]
async fn c8_15_without_subscribers_an_event_is_202_and_dropped() -> TestResult {
    let gateway = Gateway::with([in_memory_channel("in")]).start().await?;
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V10).without("id").binary())
            .await?
            .code(),
        400
    );
    Ok(())
}
