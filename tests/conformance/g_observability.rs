//! G1, G3: metrics by Knative's names, and our own counters. (Trace context is tested with C4.5.)

use towpath_harness::{Answer, Bed, Event, Spec, TestResult};

fn is(value: f64, expected: u32) -> bool {
    (value - f64::from(expected)).abs() < 0.1
}

#[tokio::test]
async fn g1_dispatch_duration_has_knatives_labels() -> TestResult {
    let bed = Bed::setup().delivery("retry", 1).start().await?;
    bed.subscriber.script([Answer::status(503)]);
    assert_eq!(bed.event(&Event::full(Spec::V10)).await?.code(), 202);
    let metrics = bed.gateway.metrics().await?;
    let labels = [
        ("messaging_system", "knative"),
        ("messaging_operation_name", "send"),
        ("messaging_destination_name", "subscription:sub.demo"),
        ("cloudevents_type", "com.example.FullEvent"),
        ("kn_channel_name", "in"),
        ("kn_channel_namespace", "demo"),
        ("url_scheme", "http"),
    ];
    let name = "kn_eventing_dispatch_duration_seconds_count";
    assert!(
        metrics.sum(name, &labels) >= 1.0,
        "{:?}",
        metrics.all(name, &[]).collect::<Vec<_>>()
    );
    let ok = [
        ("http_response_status_code", "202"),
        ("kn_channel_name", "in"),
    ];
    assert!(
        is(metrics.sum(name, &ok), 1),
        "{:?}",
        metrics.all(name, &[]).collect::<Vec<_>>()
    );
    let bounds = metrics
        .all("kn_eventing_dispatch_duration_seconds_bucket", &ok)
        .filter_map(|s| s.labels.get("le").cloned());
    let knative = [
        "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5",
        "7.5", "10", "+Inf",
    ];
    assert_eq!(bounds.collect::<Vec<_>>(), knative);
    Ok(())
}

/// A delivery of a broker has the broker's labels (G1.3).
#[tokio::test]
async fn g1_3_dispatch_duration_of_a_broker() -> TestResult {
    let bed = Bed::broker().start().await?;
    assert_eq!(bed.event(&Event::full(Spec::V10)).await?.code(), 202);
    let metrics = bed.gateway.metrics().await?;
    let labels = [
        ("kn_broker_name", "in"),
        ("kn_broker_namespace", "demo"),
        ("kn_channel_name", ""),
        ("http_response_status_code", "202"),
    ];
    let name = "kn_eventing_dispatch_duration_seconds_count";
    assert!(
        is(metrics.sum(name, &labels), 1),
        "{:?}",
        metrics.all(name, &[]).collect::<Vec<_>>()
    );
    Ok(())
}

#[tokio::test]
async fn g1_2_accepted_and_malformed_requests_can_be_counted() -> TestResult {
    let bed = Bed::start().await?;
    for _ in 0..3 {
        bed.event(&Event::full(Spec::V10)).await?;
    }
    bed.event(&Event::full(Spec::V10).without("id")).await?;
    let metrics = bed.gateway.metrics().await?;
    let name = "http_server_request_duration_seconds_count";
    let count = |code| {
        metrics.sum(
            name,
            &[
                ("http_request_method", "POST"),
                ("http_response_status_code", code),
            ],
        )
    };
    assert!(
        is(count("202"), 3) && is(count("400"), 1),
        "{:?}",
        metrics.all(name, &[]).collect::<Vec<_>>()
    );
    assert!(is(metrics.sum("towpath_events_rejected_total", &[]), 1));
    Ok(())
}

#[tokio::test]
async fn g1_dead_letters_are_counted() -> TestResult {
    let bed = Bed::setup().dead_letter().start().await?;
    bed.subscriber.otherwise(Answer::status(400));
    for _ in 0..2 {
        bed.event(&Event::full(Spec::V10)).await?;
    }
    let metrics = bed.gateway.metrics().await?;
    assert!(is(metrics.sum("towpath_dead_letters_total", &[]), 2));
    assert!(is(metrics.sum("towpath_events_dropped_total", &[]), 0));
    Ok(())
}

/// G1.1: what a stranger chooses may not grow the page without end.
#[tokio::test]
async fn g1_1_label_values_are_bounded() -> TestResult {
    let bed = Bed::setup().set("metrics.eventTypes", "3").start().await?;
    let mut sender = bed.gateway.sender();
    for kind in 0..40 {
        let event = Event::full(Spec::V10)
            .with("type", format!("type-{kind}"))
            .binary();
        assert_eq!(sender.post("/channels/demo/in", &event).await?.code(), 202);
        sender
            .post(&format!("/channels/demo/none-{kind}"), &event)
            .await?;
    }
    let metrics = bed.gateway.metrics().await?;
    let name = "kn_eventing_dispatch_duration_seconds_count";
    let types = metrics.all(name, &[]).count();
    assert!(types <= 4, "{types} series for 3 types and the rest");
    assert!(is(metrics.sum(name, &[]), 40));
    let page = bed.gateway.admin("/metrics").await?.text();
    assert!(!page.contains("none-7"), "an unknown path is no label");
    Ok(())
}

#[tokio::test]
async fn g1_the_admin_port_tells_health_and_topology() -> TestResult {
    let bed = Bed::start().await?;
    assert_eq!(bed.gateway.admin("/healthz").await?.code(), 200);
    assert_eq!(bed.gateway.admin("/readyz").await?.code(), 200);
    assert_eq!(bed.gateway.admin("/nothing").await?.code(), 404);
    let topology = bed.gateway.topology().await?.to_string();
    for part in ["in", "demo", "sub", &bed.subscriber.url("/")] {
        assert!(topology.contains(part), "no {part} in {topology}");
    }
    assert_eq!(bed.gateway.problems().await?, "");
    Ok(())
}
