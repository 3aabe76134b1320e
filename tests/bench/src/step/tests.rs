//! The step server on itself: a clean chain passes, and whatever is wrong voids the run.

use super::serve;
use crate::client::Client;
use crate::clock::now_nanos;
use crate::control::{ID, RESET_PATH, RESULTS_PATH, Reset, Results, SENT, STEPS};
use crate::frames::Frames;
use crate::payload::Payload;
use http::{Request, StatusCode};
use std::net::SocketAddr;
use tokio::net::TcpListener;

const SIZE: usize = 1024;

async fn start(forward: bool) -> (SocketAddr, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, forward));
    (address, Client::new(address))
}

async fn reset(client: &Client, neighbour: Option<SocketAddr>) {
    client
        .json::<()>(
            RESET_PATH,
            &Reset {
                size: SIZE,
                neighbour,
            },
        )
        .await
        .unwrap();
}

async fn results(client: &Client) -> Results {
    client.json(RESULTS_PATH, &()).await.unwrap()
}

fn event(step: usize, body: Frames) -> Request<Frames> {
    Request::post(format!("/step/{step}"))
        .header(ID, 7)
        .header(SENT, now_nanos())
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn direct_steps_pass_the_event_to_the_end_and_time_four_hops() {
    let (even_address, even) = start(true).await;
    let (odd_address, odd) = start(true).await;
    reset(&even, Some(odd_address)).await;
    reset(&odd, Some(even_address)).await;
    let (status, _) = even
        .exchange(event(0, Payload::new(SIZE).body(7)))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::ACCEPTED);
    let (even, odd) = (results(&even).await, results(&odd).await);
    assert_eq!(even.received, [1, 0, 1, 0, 1]);
    assert_eq!(odd.received, [0, 1, 0, 1, 0]);
    let hops = even
        .hops
        .0
        .iter()
        .chain(&odd.hops.0)
        .map(|(_, count)| count)
        .sum::<u64>();
    assert_eq!(hops, 4);
    assert_eq!((even.error_count, odd.error_count), (0, 0));
}

#[tokio::test]
async fn a_step_that_replies_returns_the_same_body_and_the_last_returns_none() {
    let (_, step) = start(false).await;
    reset(&step, None).await;
    let payload = Payload::new(SIZE);
    let (status, body) = step.exchange(event(1, payload.body(7))).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(payload.check(7, &body), Ok(()));
    let (status, body) = step
        .exchange(event(STEPS - 1, payload.body(7)))
        .await
        .unwrap();
    assert_eq!((status, body.len()), (StatusCode::ACCEPTED, 0));
}

#[tokio::test]
async fn a_wrong_body_a_missing_header_and_an_unknown_step_are_errors_that_are_kept() {
    let (_, step) = start(false).await;
    reset(&step, None).await;
    let unnumbered = Request::post("/step/1")
        .body(Payload::new(SIZE).body(7))
        .unwrap();
    let bad = [
        event(1, Payload::new(SIZE - 1).body(7)),
        event(1, Payload::new(SIZE).body(8)),
        unnumbered,
        event(STEPS, Payload::new(SIZE).body(7)),
    ];
    for (before, request) in bad.into_iter().enumerate() {
        let (status, _) = step.exchange(request).await.unwrap();
        assert_eq!(
            status,
            StatusCode::INTERNAL_SERVER_ERROR,
            "request {before}"
        );
    }
    let results = results(&step).await;
    assert_eq!(
        (results.error_count, results.errors.len()),
        (4, 4),
        "{:?}",
        results.errors
    );
}

#[tokio::test]
async fn an_error_further_on_reaches_the_sender() {
    let (even_address, even) = start(true).await;
    let (odd_address, odd) = start(true).await;
    reset(&even, Some(odd_address)).await;
    // the odd steps expect another size: step 1 fails
    let other = Reset {
        size: SIZE * 2,
        neighbour: Some(even_address),
    };
    odd.json::<()>(RESET_PATH, &other).await.unwrap();
    let (status, text) = even
        .exchange(event(0, Payload::new(SIZE).body(7)))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let text = String::from_utf8(text.joined()).unwrap();
    assert!(text.contains("step 1"), "{text}");
}
