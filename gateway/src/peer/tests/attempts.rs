//! Attempts from gateway to gateway.

use super::*;
use crate::peer::PeerError;
use crate::peer::wire::{Failed, NoAnswerKind, PeerReply};

fn scripted(answer: PeerAnswer) -> Scripted {
    Scripted {
        answer: Mutex::new(Some(answer)),
        ..Scripted::default()
    }
}

#[tokio::test]
async fn an_attempt_and_its_answer_come_as_they_were_sent() {
    let reply = PeerReply {
        attributes: Attributes::new(SpecVersion::V10, "2", "/r", "u").unwrap(),
        headers: PassThrough::default(),
        origin: None,
        data: inline("the reply"),
    };
    let failed = Failed {
        code: 503,
        data: b"busy".to_vec(),
        retryable: true,
        retry_after: Some(Duration::from_secs(7)),
    };
    for answer in [
        PeerAnswer::Answered {
            status: 200,
            arrived_before: None,
            result: AnswerResult::Reply(Box::new(reply)),
        },
        PeerAnswer::Answered {
            status: 503,
            arrived_before: None,
            result: AnswerResult::Failed(failed),
        },
        PeerAnswer::NoAnswer {
            kind: NoAnswerKind::Timeout,
            message: "none".to_owned(),
        },
        PeerAnswer::NotMine("no such replica".to_owned()),
    ] {
        let (a, b) = two(scripted(answer.clone())).await;
        let sent = attempt(inline("the data"));
        assert_eq!(a.links.attempt("b", &sent).await, Ok(answer));
        let came = b.attempts.came.lock().unwrap().clone();
        assert_eq!(came, [(Arc::from("a"), sent)]);
    }
}

#[tokio::test]
async fn many_attempts_are_under_way_at_once() {
    let hold = Arc::new(Notify::new());
    let (a, b) = two(Scripted {
        hold: Some(Arc::clone(&hold)),
        ..Scripted::default()
    })
    .await;
    let sent: Vec<_> = (0..100)
        .map(|_| {
            let links = Arc::clone(&a.links);
            tokio::spawn(async move { links.attempt("b", &attempt(inline("x"))).await })
        })
        .collect();
    until(|| b.attempts.came.lock().unwrap().len() == 100).await;
    hold.notify_waiters();
    for sent in sent {
        sent.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_attempt_that_is_given_up_is_given_up_there() {
    let (a, b) = two(Scripted {
        hold: Some(Arc::default()),
        ..Scripted::default()
    })
    .await;
    let sent = attempt(inline("x"));
    tokio::select! {
        answer = a.links.attempt("b", &sent) => panic!("{answer:?}"),
        () = b.attempts.begun.notified() => {}
    }
    let noticed = b.attempts.given_up.notified();
    tokio::time::timeout(Duration::from_secs(10), noticed)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_left_alone() {
    let gone = port("gone").await;
    let peers = [setting("gone", gone.address)];
    drop(gone);
    let links = links("a", &peers, KEY, &Arc::default(), &Arc::default());
    assert!(links.is_up("gone"));
    let sent = attempt(inline("x"));
    for says in ["cannot connect", "not reached just now"] {
        match links.attempt("gone", &sent).await {
            Err(PeerError::Unreachable(text)) => assert!(text.contains(says), "{text}"),
            other => panic!("{other:?}"),
        }
        assert!(!links.is_up("gone"));
    }
    assert!(!links.is_up("nowhere"));
    let unknown = links.attempt("nowhere", &sent).await;
    assert!(matches!(unknown, Err(PeerError::Unreachable(_))));
}

#[tokio::test]
async fn a_gateway_that_breaks_off_has_perhaps_made_the_attempt() {
    let rude = port("rude").await;
    let links = links(
        "a",
        &[setting("rude", rude.address)],
        KEY,
        &Arc::default(),
        &Arc::default(),
    );
    let broke = async {
        let (mut stream, _) = rude.socket.accept().await.unwrap();
        let mut some = [0; 100];
        tokio::io::AsyncReadExt::read(&mut stream, &mut some)
            .await
            .unwrap();
    };
    let sent = attempt(inline("x"));
    let (answer, ()) = tokio::join!(links.attempt("rude", &sent), broke);
    assert!(matches!(answer, Err(PeerError::Broke(_))), "{answer:?}");
    assert!(links.is_up("rude"));
}

#[tokio::test]
async fn too_much_beside_the_data_is_not_sent() {
    let (a, b) = two(Scripted::default()).await;
    let mut sent = attempt(inline("x"));
    let long = "x".repeat(2 << 20);
    sent.attributes
        .set("subject", long.as_str().into())
        .unwrap();
    let answer = a.links.attempt("b", &sent).await;
    assert!(
        matches!(answer, Err(PeerError::Unreachable(_))),
        "{answer:?}"
    );
    assert!(b.attempts.came.lock().unwrap().is_empty());
    assert!(a.links.is_up("b"));
}

#[tokio::test]
async fn data_over_the_limit_of_the_owner_is_refused() {
    let (a, b) = two(Scripted::default()).await;
    let data = Payload::from(vec![7; (2 << 20) + 1]);
    let answer = a.links.attempt("b", &attempt(Data::Inline(data))).await;
    match answer {
        Err(PeerError::Unreachable(text)) => assert!(text.contains("413"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(b.attempts.came.lock().unwrap().is_empty());
}
