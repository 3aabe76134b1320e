//! What a gateway that was killed leaves is found, and a sweep removes what no message claims.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use common::{bytes, files, new, node, ns, read, stored};
use towpath_event::ClaimCheck;
use towpath_payloads::{Draw, Life, PayloadStore, Swept, sweep};

const MIB: u64 = 1 << 20;
/// Tells this program that it is the gateway to be killed, and where its directory is.
const KILLED: &str = "TOWPATH_TEST_KILLED_IN";

/// Runs in a process of its own, when the other test starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_that_is_killed() {
    let Ok(dir) = std::env::var(KILLED) else {
        return;
    };
    let store = node(Path::new(&dir), 16 * MIB);
    let kept = stored(&store, &bytes(100_000), Life::Kept).await;
    let held = stored(&store, &bytes(200_000), Life::Held).await;
    let namespace = ns();
    let growing = new(&namespace, MIB, Draw::Door, Life::Kept);
    let mut growing = store.create(growing).await.unwrap();
    growing.write(bytes(300_000)).await.unwrap();
    println!("\nclaim {}", kept.claim());
    std::future::pending::<()>().await;
    drop((held, growing));
}

#[tokio::test]
async fn leftovers_of_a_killed_gateway_are_swept_and_what_is_claimed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "gateway_that_is_killed", "--nocapture"])
        .env(KILLED, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(gateway.stdout.take().unwrap());
    let mut lines = out.lines().map(Result::unwrap);
    let claim = lines
        .find_map(|line| line.strip_prefix("claim ").map(str::to_owned))
        .expect("it says what it keeps");
    let claim: ClaimCheck = claim.parse().unwrap();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert_eq!(files(dir.path()), 3);

    let store = node(dir.path(), 16 * MIB);
    assert!(store.holds(&claim.place), "the store is taken over");
    assert_eq!(store.usage().objects, 3);
    let claims = HashSet::from([claim.id]);
    let minute = Duration::from_secs(60);
    let now = SystemTime::now();
    let early = sweep(&store, &claims, minute, now).await.unwrap();
    assert_eq!(early, Swept::default(), "a message may still be on its way");
    let new = stored(&store, &bytes(1000), Life::Held).await;
    let swept = sweep(&store, &claims, minute, now + 2 * minute).await;
    assert_eq!(swept.unwrap().objects, 2);
    assert_eq!(files(dir.path()), 2);
    let found = store.find(&claim).await.unwrap();
    assert!(read(&found).await.unwrap() == bytes(100_000));
    assert!(read(&new).await.unwrap() == bytes(1000));
    assert_eq!(store.usage().bytes, 101_000);
}
