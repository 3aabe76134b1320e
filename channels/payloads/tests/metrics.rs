//! Metrics tell what went in and out of the stores, and what rests in them.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use common::{bytes, node, ns, quota, read};
use prometheus::{Registry, TextEncoder};
use towpath_event::{ClaimCheck, PayloadId, SetAside};
use towpath_payloads::{
    Begin, Draw, MemoryStore, PayloadMetrics, PayloadStore, Stores, Swept, Tier,
};

/// Every sample, by its name and labels.
fn samples(registry: &Registry) -> HashMap<String, f64> {
    let text = TextEncoder::new().encode_to_string(&registry.gather());
    let text = text.unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.replace('"', "");
            (name, value.parse().unwrap())
        })
        .collect()
}

async fn stored(stores: &Stores, len: usize) -> Arc<dyn SetAside> {
    let begin = Begin {
        namespace: &ns(),
        draw: Draw::Reply,
        length: Some(len as u64),
        as_file: false,
    };
    let mut writer = stores.begin(begin).await.unwrap();
    writer.write(bytes(len)).await.unwrap();
    writer.finish().await.unwrap()
}

#[tokio::test]
async fn tell_bytes_contents_spills_and_misses() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let metrics = PayloadMetrics::register(&registry).unwrap();
    let node = node(dir.path(), 1 << 20);
    let id = Arc::clone(&node.store_ids()[0]);
    let stores = Stores::new(Arc::new(MemoryStore::new(quota(1500), false)), 1000)
        .with_node(Arc::new(node) as Arc<dyn PayloadStore>)
        .with_metrics(metrics.clone());

    let first = stored(&stores, 1000).await;
    let spilled = stored(&stores, 900).await;
    let large = stored(&stores, 100_000).await;
    read(&first).await.unwrap();
    read(&large).await.unwrap();
    read(&large).await.unwrap();
    let claim = ClaimCheck {
        id: PayloadId::from_bytes([7; 16]),
        size: 1,
        digest: None,
        place: towpath_event::Place::Node(id),
    };
    stores.find(&claim).await.unwrap_err();
    metrics.swept(
        Tier::Object,
        Swept {
            objects: 3,
            bytes: 1,
        },
    );

    let found = samples(&registry);
    for (sample, value) in [
        (
            "towpath_payload_bytes_total{direction=in,tier=memory}",
            1000.0,
        ),
        (
            "towpath_payload_bytes_total{direction=out,tier=memory}",
            1000.0,
        ),
        (
            "towpath_payload_bytes_total{direction=in,tier=node}",
            100_900.0,
        ),
        (
            "towpath_payload_bytes_total{direction=out,tier=node}",
            200_000.0,
        ),
        ("towpath_payload_bytes_total{direction=in,tier=nats}", 0.0),
        ("towpath_payload_fetch_seconds_count{tier=memory}", 1.0),
        ("towpath_payload_fetch_seconds_count{tier=node}", 2.0),
        ("towpath_payload_objects{tier=memory}", 1.0),
        ("towpath_payload_objects{tier=node}", 2.0),
        ("towpath_payload_stored_bytes{tier=memory}", 1000.0),
        ("towpath_payload_stored_bytes{tier=node}", 100_900.0),
        ("towpath_payload_spills_total{tier=node}", 1.0),
        ("towpath_payload_orphans_total{tier=object}", 3.0),
        ("towpath_payload_early_misses_total", 1.0),
    ] {
        assert_eq!(found.get(sample), Some(&value), "{sample}");
    }
    let now = found["towpath_payload_oldest_seconds{tier=node}"];
    assert!((0.0..60.0).contains(&now), "{now}");

    drop((first, spilled, large));
    let empty = || samples(&registry)["towpath_payload_objects{tier=node}"] == 0.0;
    common::eventually("it is shown as empty", empty).await;
    assert_eq!(
        samples(&registry)["towpath_payload_oldest_seconds{tier=node}"],
        0.0
    );
}

#[tokio::test]
async fn what_comes_as_a_file_or_becomes_one_is_counted_too() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let metrics = PayloadMetrics::register(&registry).unwrap();
    let node = node(dir.path(), 1 << 20).with_metrics(metrics);
    std::fs::write(dir.path().join("out/left"), vec![7; 1000]).unwrap();
    let adopted = node.adopt(Path::new("left"), &ns(), Draw::Reply).await;
    let adopted = adopted.unwrap();
    read(&adopted).await.unwrap();
    let elsewhere = Stores::new(Arc::new(MemoryStore::new(quota(1500), false)), 1000);
    let elsewhere = stored(&elsewhere, 700).await;
    let shown = node.materialise(&elsewhere, &ns(), Draw::Reply).await;
    read(&shown.unwrap()).await.unwrap();
    node.materialise(&adopted, &ns(), Draw::Reply)
        .await
        .unwrap();
    for direction in ["in", "out"] {
        let bytes = format!("towpath_payload_bytes_total{{direction={direction},tier=node}}");
        assert_eq!(samples(&registry)[&bytes], 1700.0, "{direction}");
    }
}
