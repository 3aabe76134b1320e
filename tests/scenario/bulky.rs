//! Large payloads: the same bytes everywhere, through retries, fan-out, replies and dead letters.

use bytes::Bytes;
use towpath_harness::manifest::{in_memory_channel, reference, subscription, uri};
use towpath_harness::{Answer, Bed, Event, Gateway, Subscriber, TestResult};

/// Bytes in which no block repeats, so that a lost or doubled one shows.
fn pattern(length: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

const SIZES: [usize; 6] = [
    1,
    64 * 1024 - 1,
    64 * 1024,
    64 * 1024 + 1,
    2 << 20,
    10 << 20,
];

#[tokio::test]
async fn every_size_arrives_whole_in_either_mode() -> TestResult {
    let bed = Bed::start().await?;
    for size in SIZES {
        let event = Event::numbered(size).data("application/octet-stream", pattern(size));
        for message in [event.binary(), event.structured()] {
            assert_eq!(bed.post(&message).await?.code(), 202, "{size}");
            let last = bed
                .subscriber
                .requests()
                .pop()
                .ok_or_else(|| anyhow::anyhow!("nothing came"))?;
            assert!(last.body == event.bytes(), "{size} bytes are not the same");
            assert_eq!(
                last.header("content-length"),
                size.to_string(),
                "the length is known"
            );
        }
    }
    Ok(())
}

/// Two subscribers, of which one fails first by status and then by a reset; its reply goes on to the next channel, whose
/// subscriber refuses: the dead letter has the bytes of the reply.
#[tokio::test]
async fn retries_fan_out_replies_and_dead_letters_have_the_same_bytes() -> TestResult {
    let (steady, flaky) = (Subscriber::start().await?, Subscriber::start().await?);
    let (refusing, dead_letter) = (Subscriber::start().await?, Subscriber::start().await?);
    let (a, b) = (in_memory_channel("a"), in_memory_channel("b"));
    let to_steady = subscription("steady", &a, uri(steady.url("/")));
    let to_flaky = subscription("flaky", &a, uri(flaky.url("/")))
        .spec("delivery.retry", 3)
        .spec("reply", reference(&b));
    let to_refusing = subscription("refusing", &b, uri(refusing.url("/")))
        .spec("delivery.deadLetterSink", uri(dead_letter.url("/")));
    let gateway = Gateway::with([a, b, to_steady, to_flaky, to_refusing])
        .start()
        .await?;
    refusing.otherwise(Answer::status(422));
    flaky.otherwise(Answer::transform(|event| {
        let mut data = event.bytes().to_vec();
        data.reverse();
        event.data("application/octet-stream", data)
    }));
    for size in SIZES {
        let data = pattern(size);
        let mut reversed = data.to_vec();
        reversed.reverse();
        flaky.script([
            Answer::status(503),
            Answer::reset(),
            Answer::reset_mid_response(),
        ]);
        let event = Event::numbered(size).data("application/octet-stream", data.clone());
        assert_eq!(
            gateway.post("a", &event.binary()).await?.code(),
            202,
            "{size}"
        );
        for request in steady
            .requests()
            .iter()
            .chain(&flaky.requests())
            .filter(|r| r.header("ce-id") == size.to_string())
        {
            assert!(request.body == data, "{size} bytes are not the same");
        }
        let dead = dead_letter
            .requests()
            .pop()
            .ok_or_else(|| anyhow::anyhow!("no dead letter"))?;
        assert!(
            dead.body == reversed,
            "{size} bytes of the reply are not the same"
        );
    }
    assert_eq!(
        (steady.count(), dead_letter.count()),
        (SIZES.len(), SIZES.len())
    );
    // The reset of a kept connection may have been sent again once at no cost.
    assert!(
        (4 * SIZES.len()..=5 * SIZES.len()).contains(&flaky.count()),
        "{}",
        flaky.count()
    );
    Ok(())
}
