//! B5.8: the private CESQL function by which the replies of a RequestReply object find their pod.

use serde_json::json;
use towpath_harness::manifest::Object;
use towpath_harness::{Event, TestResult};

use crate::selection::{Selection, only, typed};

/// The bytes 0 to 31 in base64.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// `event-1`, a nonce of nines and AES-256-GCM of `event-1` with [`KEY`], pod 4; made with another library.
const ID: &str = "event-1:CQkJCQkJCQkJCQkJ1m5tVfOycgH2-KeMyRnjDODuv350skU=:4";

/// The same with a key of eights.
const OTHER_KEY: &str = "event-1:CQkJCQkJCQkJCQkJN4ugGW8u_w2WxZ081SvD2hNFZyltuYk=:4";

fn secret(name: &str) -> Object {
    Object::new("v1", "Secret", name)
        .in_namespace("knative-eventing")
        .field("type", "Opaque")
}

fn verify(object: &str, secret: &str, pod: u32) -> serde_json::Value {
    only(json!({"cesql": format!(
        "KN_VERIFY_CORRELATION_ID(replyid, \"{object}\", \"demo\", \"{secret}\", {pod}, 3)"
    )}))
}

fn reply(id: &str) -> Event {
    typed("reply").with("replyid", id)
}

#[tokio::test]
async fn b5_8_a_correlation_id_is_verified_with_the_keys_of_the_secret() -> TestResult {
    let keys = json!({
        "demo.other.key": KEY,
        "demo.rr.old": "AQEBAQEBAQEBAQEBAQEBAQ==",
        "demo.rr.new": KEY,
    });
    let secrets = [
        secret("rr-keys").field("data", keys),
        secret("text-keys").field("stringData", json!({"demo.rr.short": "no key of AES"})),
    ];
    let mut selection = Selection::beside(
        secrets,
        [
            ("pod-1", verify("rr", "rr-keys", 1)),
            ("pod-2", verify("rr", "rr-keys", 2)),
            ("other-object", verify("r", "rr-keys", 1)),
            ("bad-keys", verify("rr", "text-keys", 1)),
            ("no-secret", verify("rr", "nowhere", 1)),
        ],
    )
    .await?;
    // Pod 4 of 3 replicas is pod 1.
    selection.expect(&reply(ID), &["pod-1"]).await?;
    let to_pod_2 = ID.replace(":4", ":2");
    selection.expect(&reply(&to_pod_2), &["pod-2"]).await?;
    let not_for_us = [
        OTHER_KEY.to_owned(),
        ID.replace("event-1", "event-2"),
        ID.replace(":4", ""),
        ID.replace(":4", ":-1"),
        ID.replace(":4", ":4:4"),
        "event-1::4".to_owned(),
        "plain".to_owned(),
    ];
    for id in not_for_us {
        selection.expect(&reply(&id), &[]).await?;
    }
    selection.expect(&typed("reply"), &[]).await
}

/// The keys are in the system namespace; a Secret of the same name in the user's is not asked.
#[tokio::test]
async fn b5_8_only_secrets_of_the_system_namespace_count() -> TestResult {
    let users = secret("rr-keys")
        .in_namespace("demo")
        .field("data", json!({"demo.rr.new": KEY}));
    let mut selection = Selection::beside([users], [("pod-1", verify("rr", "rr-keys", 1))]).await?;
    selection.expect(&reply(ID), &[]).await
}
