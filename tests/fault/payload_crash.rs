//! SIGKILL under a load of bulky events: the next gateway in the same directory begins clean, and producers lose nothing.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::task::JoinSet;
use towpath_harness::manifest::{channel_path, uri};
use towpath_harness::poll::SOON;
use towpath_harness::{Answer, Gateway, Sender, Subscriber, TestResult};

use crate::payload_kit::{ALL_IN_FILES, CHANNEL, Shelf, bulky, channel_to, pattern};

/// Rounds, each of which ends with a SIGKILL; 100 with `TOWPATH_SOAK=1`.
const ROUNDS: u64 = 10;
const SOAK_ROUNDS: u64 = 100;
/// Producers at once.
const PRODUCERS: u64 = 4;
/// Sizes of events in bytes: small, in memory, on the node.
const SIZES: [usize; 4] = [1 << 10, 200 << 10, 512 << 10, 1 << 20];

/// A sequence of numbers that looks random and is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What producers know of their events.
#[derive(Default)]
struct Known {
    acknowledged: HashSet<String>,
    /// Not acknowledged: to be sent again.
    open: Vec<(String, usize)>,
}

/// Posts one event after the other until the gateway is gone.
async fn produce(mut sender: Sender, prefix: String, known: Arc<Mutex<Known>>) {
    for index in 0_usize.. {
        let (id, size) = (format!("{prefix}-{index}"), SIZES[index % SIZES.len()]);
        let answer = sender.post(&channel_path(CHANNEL), &bulky(&id, size)).await;
        let taken = answer.as_ref().is_ok_and(|answer| answer.code() == 202);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if taken {
            known.acknowledged.insert(id);
        } else {
            known.open.push((id, size));
        }
        if answer.is_err() {
            return;
        }
    }
}

async fn start(shelf: &Shelf, subscriber: &Subscriber, reply: &Subscriber) -> Result<Gateway> {
    let [channel, to] = channel_to(&subscriber.url("/"), &subscriber.url("/dead"));
    let to = to.spec("reply", uri(reply.url("/")));
    let launch = shelf.launch([channel, to]);
    let launch = launch.set("store.memory.maxPayload", "256Ki");
    let launch = launch.set("store.node.dirtyBytes", ALL_IN_FILES);
    launch.start().await
}

#[tokio::test]
async fn a_killed_gateway_leaves_nothing_and_loses_nothing() -> TestResult {
    let rounds = if env::var_os("TOWPATH_SOAK").is_some() {
        SOAK_ROUNDS
    } else {
        ROUNDS
    };
    let (shelf, subscriber, reply) = (
        Shelf::new()?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let (seen, damaged) = (
        Arc::new(Mutex::new(HashSet::new())),
        Arc::new(Mutex::new(Vec::new())),
    );
    let whole = SIZES.map(pattern);
    let (ids, wrong) = (Arc::clone(&seen), Arc::clone(&damaged));
    // Its replies are as bulky, so that stores hold some of each.
    subscriber.otherwise(Answer::with(move |request| {
        let id = request.header("ce-id");
        let announced = request.header("content-length");
        if request.whole {
            if !whole.contains(&request.body) || announced != request.body.len().to_string() {
                wrong
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(id.clone());
            }
            ids.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id.clone());
        }
        let reply = towpath_harness::Event::numbered(1).with("id", id);
        Answer::reply(&reply.data("application/octet-stream", request.body.clone()))
    }));
    subscriber.forget_requests();
    reply.forget_requests();
    let mut random = Random(0x5EED_5EED_5EED_5EED);
    let mut left = 0;
    for round in 0..rounds {
        let mut gateway = start(&shelf, &subscriber, &reply).await?;
        // Nothing of the one before is left, before anything is sent.
        shelf.at_rest(&gateway).await?;
        assert_eq!(
            fs::read_dir(shelf.path().join("stores"))?.count(),
            1,
            "round {round}"
        );
        let known = Arc::new(Mutex::new(Known::default()));
        let mut producers = JoinSet::new();
        for producer in 0..PRODUCERS {
            let prefix = format!("{round}-{producer}");
            producers.spawn(produce(gateway.sender(), prefix, Arc::clone(&known)));
        }
        let until = subscriber.count() + 1 + usize::try_from(random.below(24))?;
        subscriber.await_count(until, SOON).await?;
        for _ in 0..random.below(2_000) {
            tokio::task::yield_now().await;
        }
        gateway.kill().await?;
        left += shelf.files()?.len();
        while producers.join_next().await.is_some() {}
        let Known { acknowledged, open } =
            std::mem::take(&mut *known.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(
            !open.is_empty(),
            "round {round}: it was killed after its load"
        );
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lost: Vec<_> = acknowledged.difference(&seen).collect();
        assert!(
            lost.is_empty(),
            "round {round}: acknowledged and lost: {lost:?}"
        );
        let mut gateway = start(&shelf, &subscriber, &reply).await?;
        shelf.at_rest(&gateway).await?;
        for (id, size) in open {
            let again = gateway.post(CHANNEL, &bulky(&id, size)).await?;
            assert_eq!(again.code(), 202, "round {round}: {id} {}", again.text());
        }
        shelf.at_rest(&gateway).await?;
        gateway.kill().await?;
    }
    assert!(
        left > 0,
        "no kill has left a file: it came too early or too late"
    );
    let damaged = damaged.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(damaged.is_empty(), "not the same bytes: {damaged:?}");
    Ok(())
}
