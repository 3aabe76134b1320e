//! Replicas that are not there, that fail all together, that never answer, that die in the middle of a body: the event goes
//! elsewhere, or to the dead letter sink with the reason.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use towpath_harness::manifest::{
    Object, channel_path, in_memory_channel, reference, subscription, uri,
};
use towpath_harness::measure::{Pattern, Producer};
use towpath_harness::poll::{SOON, until};
use towpath_harness::replica::{Place, hop_policy, known, slice};
use towpath_harness::{Answer, Event, Gateway, Meter, Pool, Sender, Subscriber, Tap, TestResult};

/// A channel `in` to the Service, with that in the spec of its Subscription and of a HopPolicy for the Service.
pub(crate) fn objects(replicas: Vec<Object>, delivery: Value, policy: Value) -> Vec<Object> {
    let channel = in_memory_channel("in");
    let to = subscription("s", &channel, reference(&replicas[0])).spec("delivery", delivery);
    let target = hop_policy("policy", Some(&replicas[0]));
    let Value::Object(fields) = policy else {
        unreachable!("the spec of a policy is an object");
    };
    let policy = fields
        .into_iter()
        .fold(target, |policy, (field, value)| policy.spec(&field, value));
    let mut objects = replicas;
    objects.extend([channel, to, policy]);
    objects
}

/// Posts so many events one after the other, each of which must be taken; gives how long the longest took.
pub(crate) async fn taken(gateway: &Gateway, events: usize) -> anyhow::Result<Duration> {
    let (mut sender, mut longest) = (gateway.sender(), Duration::ZERO);
    for id in 0..events {
        let began = Instant::now();
        let response = sender
            .post(&channel_path("in"), &Event::numbered(id).binary())
            .await?;
        assert_eq!(response.code(), 202, "{}", response.text());
        longest = longest.max(began.elapsed());
    }
    Ok(longest)
}

/// The sum of a counter.
pub(crate) async fn total(gateway: &Gateway, name: &str) -> anyhow::Result<usize> {
    Ok(gateway.metrics().await?.sum(name, &[]) as usize)
}

/// Retried as the delivery spec says, then dead-lettered with the reason (H3.19).
#[tokio::test]
async fn without_any_replica_the_dead_letter_says_so() -> TestResult {
    let (pool, dead_letter) = (Pool::of("step", 0).await?, Subscriber::start().await?);
    let mut empty = pool.objects();
    let nowhere = slice("step", 0, dead_letter.address(), &Place::default());
    empty.push(nowhere.field("endpoints", json!([])));
    let delivery = json!({
        "retry": 2, "backoffPolicy": "linear", "backoffDelay": "PT0.01S", "deadLetterSink": uri(dead_letter.url("/")),
    });
    let mut gateway = Gateway::with(objects(empty, delivery, json!({})))
        .start()
        .await?;
    taken(&gateway, 1).await?;
    assert_eq!(total(&gateway, "towpath_retries_total").await?, 2);
    let letter = dead_letter.only()?;
    assert_eq!(
        letter.header("ce-knativeerrordest"),
        "http://step.demo.svc.cluster.local"
    );
    let said = String::from_utf8(STANDARD.decode(letter.header("ce-knativeerrordata"))?)?;
    assert!(said.contains("no replica is ready"), "{said}");
    gateway.goes_on("in").await
}

/// All are ejected, and then well again: that nobody may take hops is no reason to serve none.
#[tokio::test]
async fn with_all_replicas_ejected_events_are_still_served() -> TestResult {
    let pool = Pool::of("step", 4).await?;
    for replica in &pool.replicas {
        replica.otherwise(Answer::status(500));
    }
    let outlier = json!({"outlier": {"consecutiveFailures": 1, "baseEjection": "PT5M", "maxEjection": "PT5M"}});
    let gateway = Gateway::with(objects(pool.objects(), json!({}), outlier))
        .start()
        .await?;
    let mut sender = gateway.sender();
    until("all to be ejected", SOON, async || {
        sender
            .post(&channel_path("in"), &Event::numbered(0).binary())
            .await?;
        let mut ejected = 0;
        for replica in &pool.replicas {
            ejected += usize::from(known(&gateway, replica.address()).await?["state"] == "ejected");
        }
        Ok((ejected == 4).then_some(()))
    })
    .await?;
    for replica in &pool.replicas {
        replica.otherwise(Answer::status(202));
    }
    let before: usize = pool.counts().iter().sum();
    taken(&gateway, 50).await?;
    assert_eq!(pool.counts().iter().sum::<usize>(), before + 50);
    let metrics = gateway.metrics().await?;
    let panic = metrics.sum("towpath_hops_total", &[("reason", "panic")]);
    assert!(panic >= 50.0, "{panic} hops for want of others");
    Ok(())
}

/// A replica that takes requests and never answers: its time-outs are attempts of the delivery spec, and soon it gets no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_never_answers_gets_fewer_and_fewer() -> TestResult {
    let pool = Pool::of("step", 3).await?;
    pool.replicas[0].otherwise(Answer::Hang);
    let delivery = json!({"retry": 4, "timeout": "PT0.4S", "backoffPolicy": "linear", "backoffDelay": "PT0.01S"});
    let gateway = Gateway::with(objects(pool.objects(), delivery, json!({})))
        .start()
        .await?;
    let mut producers = JoinSet::new();
    for _ in 0..16 {
        let address = gateway.listening;
        producers.spawn(async move {
            let mut sender = Sender::new(address);
            for id in 0..100 {
                let event = Event::numbered(id).binary();
                let response = sender.post(&channel_path("in"), &event).await?;
                anyhow::ensure!(response.code() == 202, "{}", response.text());
            }
            anyhow::Ok(())
        });
    }
    while let Some(producer) = producers.join_next().await {
        producer??;
    }
    let (counts, retries) = (
        pool.counts(),
        total(&gateway, "towpath_retries_total").await?,
    );
    eprintln!("one never answers: {counts:?}, {retries} retries");
    assert!(counts[0] <= 32, "it got {} of 1600", counts[0]);
    assert_eq!(retries, counts[0], "each is an attempt that timed out");
    Ok(())
}

/// One dies in the middle of a large body: the attempt fails, and the next brings all of it to another replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_broke_off_is_sent_whole_elsewhere() -> TestResult {
    let long = std::env::var_os("TOWPATH_SOAK").is_some_and(|value| value != "0");
    let size = if long { 64 << 20 } else { 8 << 20 };
    let (tap, meter) = (Tap::start()?, Meter::sink().await?);
    let near = Place {
        pod: "near",
        node: "near",
        zone: "",
    };
    let far = Place {
        pod: "far",
        node: "far",
        zone: "",
    };
    let mut replicas = Pool::of("step", 0).await?.objects();
    replicas.push(slice("step", 0, tap.address(), &near));
    replicas.push(slice("step", 1, meter.address(), &far));
    let delivery = json!({"retry": 1, "backoffPolicy": "linear", "backoffDelay": "PT0.01S"});
    let policy = json!({"outlier": {"consecutiveFailures": 1}});
    let store = tempfile::tempdir()?;
    let gateway = Gateway::with(objects(replicas, delivery, policy))
        .args(["--node", "near"])
        .set("store.node.directory", &store.path().to_string_lossy())
        .start()
        .await?;
    let headers = Event::numbered(1).data("text/plain", "").binary().headers;
    let producer =
        Producer::post(gateway.listening, &channel_path("in"), headers, Some(size)).await?;
    let sends = async {
        for chunk in Pattern::new(7, size) {
            producer.send(chunk).await;
        }
        producer.end(SOON * 6).await
    };
    let dies = async {
        let mut request = tap.next().await?;
        request.read(usize::try_from(size / 2)?).await?;
        request.reset()
    };
    let (response, ()) = tokio::try_join!(sends, dies)?;
    assert_eq!(response.code(), 202, "{}", response.text());
    let [whole] = &meter.requests()?[..] else {
        anyhow::bail!("one whole body elsewhere");
    };
    assert_eq!(whole.data, Pattern::new(7, size).measure());
    assert_eq!(total(&gateway, "towpath_retries_total").await?, 1);
    assert_eq!(
        total(&gateway, "towpath_reroutes_total").await?,
        0,
        "it may have been served"
    );
    Ok(())
}
