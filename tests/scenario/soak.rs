//! The big one: many events at 64 connections to a subscriber that fails one in ten. 10,000 events, or 100,000 with
//! `TOWPATH_SOAK=1`.

use std::env;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use towpath_harness::answer::Ending;
use towpath_harness::poll::within;
use towpath_harness::{Answer, Bed, TestResult};

use crate::load::Load;

const CONNECTIONS: usize = 64;

fn total() -> u64 {
    if env::var_os("TOWPATH_SOAK").is_some_and(|value| value != "0") {
        100_000
    } else {
        10_000
    }
}

/// What the subscriber knows of one event.
#[derive(Debug, Default)]
struct Seen {
    /// Requests that carried it.
    received: AtomicU32,
    /// Of these, how many were answered with a failure.
    failed: AtomicU32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_in_ten_fails_and_nothing_is_lost() -> TestResult {
    let total = total();
    let bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 3)
        .start()
        .await?;
    let seen: Arc<Vec<Seen>> = Arc::new((0..total).map(|_| Seen::default()).collect());
    let strangers = Arc::new(Mutex::new(Vec::new()));
    let (book, odd, nth) = (Arc::clone(&seen), Arc::clone(&strangers), AtomicU64::new(0));
    bed.subscriber.forget_requests();
    bed.subscriber.otherwise(Answer::with(move |request| {
        let id = request.header("ce-id").parse::<usize>().ok();
        let Some(event) = id.and_then(|id| book.get(id)).filter(|_| request.whole) else {
            odd.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(request.header("ce-id"));
            return Answer::status(400);
        };
        event.received.fetch_add(1, Ordering::SeqCst);
        // Every tenth request fails, by turns in each of the ways that are retried; never one event four times.
        let nth = nth.fetch_add(1, Ordering::SeqCst);
        if nth % 10 != 9 || event.failed.load(Ordering::SeqCst) >= 3 {
            return Answer::status(202);
        }
        event.failed.fetch_add(1, Ordering::SeqCst);
        match nth / 10 % 4 {
            0 => Answer::status(503),
            1 => Answer::status(500),
            2 => Answer::reset_mid_response(),
            _ => Answer::Raw(bytes::Bytes::new(), Ending::Reset),
        }
    }));

    let began = Instant::now();
    let load = Load::start(bed.gateway.listening, "in", CONNECTIONS, total);
    let sent = within("the load", Duration::from_secs(300), load.end()).await??;
    assert!(
        sent.refused.is_empty() && sent.broken.is_empty(),
        "{:?} {:?}",
        sent.refused,
        sent.broken
    );
    assert_eq!(sent.acknowledged.len() as u64, total);
    assert!(
        strangers.lock().is_ok_and(|strangers| strangers.is_empty()),
        "events that nobody sent"
    );

    let count = |event: &Seen| {
        (
            event.received.load(Ordering::SeqCst),
            event.failed.load(Ordering::SeqCst),
        )
    };
    let lost = seen
        .iter()
        .map(count)
        .filter(|(received, failed)| received == failed)
        .count();
    let repeated = seen
        .iter()
        .map(count)
        .filter(|(received, failed)| *received > failed + 1)
        .count();
    let failed: u32 = seen.iter().map(count).map(|(_, failed)| failed).sum();
    assert_eq!(lost, 0, "lost of {total}");
    assert_eq!(
        repeated, 0,
        "delivered again although no attempt had failed"
    );
    assert!(
        u64::from(failed) >= total / 10,
        "{failed} failures were made"
    );
    assert_eq!(bed.dead_letter.count(), 0);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{total} events, {failed} failed attempts, {seconds:.1} s, {:.0} events/s",
        total as f64 / seconds
    );
    Ok(())
}
