//! Several gateways that send to the same replicas: each hears of the load of the others, a bound holds against all, and a payload
//! comes once to each node.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use towpath_harness::manifest::{
    Object, channel_path, in_memory_channel, reference, service, subscription,
};
use towpath_harness::measure::{Pattern, Producer};
use towpath_harness::poll::{SOON, until, within};
use towpath_harness::replica::{Place, hop_policy, known, slice};
use towpath_harness::{
    Answer, Event, Gate, Gateway, Link, Meter, Peers, Pool, Sender, TestResult, Work,
};

use crate::load::Load;

/// How soon a load must be known elsewhere.
const SOON_KNOWN: Duration = Duration::from_millis(100);

/// A pod on the node of that name.
const fn on(node: &'static str) -> Place {
    Place {
        pod: node,
        node,
        zone: towpath_harness::peers::ZONE,
    }
}

/// A channel of that name with one Subscription to the Service.
fn channel_to(name: &str, to: &Object) -> [Object; 2] {
    let channel = in_memory_channel(name);
    [subscription(name, &channel, reference(to)), channel]
}

async fn post(to: std::net::SocketAddr, channel: String) -> TestResult {
    let event = Event::numbered(1).binary();
    let response = Sender::new(to)
        .post(&channel_path(&channel), &event)
        .await?;
    ensure!(response.code() == 202, "{}", response.text());
    Ok(())
}

async fn in_flight(gateway: &Gateway, address: std::net::SocketAddr) -> anyhow::Result<Value> {
    Ok(known(gateway, address).await?["inFlight"].clone())
}

/// The owner's replica is busy by hops of one gateway: the next hop of another goes elsewhere, and that it is idle again is known as
/// soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_another_gateway_keeps_busy_is_left_alone() -> TestResult {
    let pool = Pool::start("step", [on("a"), on("b")]).await?;
    let only_a = service("only-a", "http", 80);
    let mut objects = pool.objects();
    objects.push(slice("only-a", 0, pool.replicas[0].address(), &on("a")));
    objects.extend(channel_to("in", &pool.service));
    objects.extend(channel_to("to-a", &only_a));
    objects.push(only_a);
    let peers = Peers::on_loopback(&["a", "b", "c"])?;
    let gateways = peers.start(&objects).await?;
    let busy = pool.replicas[0].address();
    let mut longest = Duration::ZERO;
    for round in 0..5 {
        let gate = Gate::closed();
        let held = Answer::status(202).behind(&gate);
        pool.replicas[0].script([held.clone(), held]);
        let before = pool.counts();
        // The hops are of the owner itself, or of the third gateway.
        let decider = gateways[[0, 2][round % 2]].listening;
        let mut hops = JoinSet::new();
        hops.spawn(post(decider, "to-a".to_owned()));
        hops.spawn(post(decider, "to-a".to_owned()));
        pool.replicas[0].await_count(before[0] + 2, SOON).await?;
        let began = Instant::now();
        until("the load to be known", SOON, async || {
            let there = in_flight(&gateways[1], busy).await?;
            Ok((there == 2).then_some(()))
        })
        .await?;
        longest = longest.max(began.elapsed());
        post(gateways[1].listening, "in".to_owned()).await?;
        assert_eq!(pool.counts(), [before[0] + 2, before[1] + 1], "{round}");
        gate.open();
        while let Some(hop) = hops.join_next().await {
            hop??;
        }
        let began = Instant::now();
        until("the end of the load to be known", SOON, async || {
            let there = in_flight(&gateways[1], busy).await?;
            Ok((there == 0).then_some(()))
        })
        .await?;
        longest = longest.max(began.elapsed());
    }
    eprintln!("load of a replica known to another gateway after {longest:.1?} at most");
    assert!(longest < SOON_KNOWN, "after {longest:?}");
    Ok(())
}

/// Input at a third node, where no replica is: both gateways' hops count, so the idle replica gets the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_without_replicas_share_what_they_know() -> TestResult {
    let pool = Pool::start("step", [on("a"), on("b")]).await?;
    let mut objects = pool.objects();
    objects.extend(channel_to("in", &pool.service));
    let peers = Peers::on_loopback(&["a", "b", "c", "d"])?;
    let gateways = peers.start(&objects).await?;
    for round in 0..4 {
        let gate = Gate::closed();
        for replica in &pool.replicas {
            replica.otherwise(Answer::status(202).behind(&gate));
        }
        let before = pool.counts();
        let mut hops = JoinSet::new();
        // One after the other, each by another gateway, until there are four.
        for hop in 0..4 {
            hops.spawn(post(gateways[2 + hop % 2].listening, "in".to_owned()));
            until("the hop to be known everywhere", SOON, async || {
                for gateway in &gateways[2..] {
                    let mut sum = 0;
                    for replica in &pool.replicas {
                        let there = in_flight(gateway, replica.address()).await?;
                        sum += there.as_u64().unwrap_or(0);
                    }
                    if sum != hop as u64 + 1 {
                        return Ok(None);
                    }
                }
                Ok(Some(()))
            })
            .await?;
        }
        let counts = pool.counts();
        assert_eq!(counts, [before[0] + 2, before[1] + 2], "{round}");
        gate.open();
        while let Some(hop) = hops.join_next().await {
            hop??;
        }
    }
    Ok(())
}

/// `replicaConcurrency` is a bound against all senders: three gateways push, and no replica ever has more at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_of_a_replica_holds_against_all_gateways() -> TestResult {
    let pool = Pool::start("step", [on("a"), on("b")]).await?;
    let works = pool.works(|_| Work::wide(Duration::from_millis(3)));
    let mut objects = pool.objects();
    objects.extend(channel_to("in", &pool.service));
    objects.push(hop_policy("two", Some(&pool.service)).spec("replicaConcurrency", 2));
    let peers = Peers::on_loopback(&["a", "b", "c"])?;
    let gateways = peers.start(&objects).await?;
    let load = |gateway: &Gateway| Load::start(gateway.listening, "in", 12, 300);
    let loads: Vec<Load> = gateways.iter().map(load).collect();
    for load in loads {
        let sent = within("the load", SOON * 3, load.end()).await??;
        ensure!(
            sent.refused.is_empty() && sent.broken.is_empty(),
            "{:?} {:?}",
            sent.refused,
            sent.broken
        );
    }
    let most: Vec<usize> = works.iter().map(Work::most_at_once).collect();
    eprintln!(
        "three gateways, replicaConcurrency 2: at most {most:?} at once, {:?} hops",
        pool.counts()
    );
    assert_eq!(pool.counts().iter().sum::<usize>(), 900);
    assert_eq!(most, [2, 2]);
    Ok(())
}

/// A hop that waits for room gets it when a hop ends that no policy bounds: two Subscriptions have the same replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_that_waits_gets_the_place_of_one_without_a_bound() -> TestResult {
    let pool = Pool::start("step", [on("a")]).await?;
    let bounded = channel_to("bounded", &pool.service);
    let mut objects = pool.objects();
    objects.push(hop_policy("one", Some(&bounded[0])).spec("replicaConcurrency", 1));
    objects.extend(bounded);
    objects.extend(channel_to("free", &pool.service));
    let gateway = Gateway::with(objects).start().await?;
    let gate = Gate::closed();
    let replica = &pool.replicas[0];
    replica.script([Answer::status(202).behind(&gate)]);
    let mut hops = JoinSet::new();
    hops.spawn(post(gateway.listening, "free".to_owned()));
    replica.await_count(1, SOON).await?;
    hops.spawn(post(gateway.listening, "bounded".to_owned()));
    until("a hop to wait", SOON, async || {
        let waiting = known(&gateway, replica.address()).await?["waiting"].clone();
        Ok((waiting == 1).then_some(()))
    })
    .await?;
    gate.open();
    while let Some(hop) = within("both hops", SOON, hops.join_next()).await? {
        hop??;
    }
    Ok(())
}

/// One event for five subscribers of another node: its payload crosses the link once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_comes_once_to_a_node_however_many_want_it() -> TestResult {
    let Some(link) = Link::of(200_000_000)? else {
        return Ok(());
    };
    let size: u64 = 4_000_000;
    let (channel, mut meters) = (in_memory_channel("in"), Vec::new());
    let mut objects = vec![channel.clone()];
    for index in 0..5 {
        let meter = Meter::on(link.nodes[1].listener()?, false)?;
        let to = service(&format!("step-{index}"), "http", 80);
        objects.push(slice(to.name(), 0, meter.address(), &on("b")));
        objects.push(subscription(to.name(), &channel, reference(&to)));
        objects.push(to);
        meters.push(meter);
    }
    let peers = Peers::on_link(link, ["a", "b"])?;
    let gateways = peers.start(&objects).await?;
    // Cut through while it comes in, and when all of it is there.
    for cut_through in [true, false] {
        let before = peers.link()?.bytes()?;
        let mut headers = Event::numbered(1).data("text/plain", "").binary().headers;
        headers.insert("ce-x", "y".parse()?);
        let length = cut_through.then_some(size);
        let to = gateways[0].listening;
        let producer = Producer::post(to, &channel_path("in"), headers, length).await?;
        for chunk in Pattern::new(3, size) {
            producer.send(chunk).await;
        }
        let response = producer.end(SOON * 3).await?;
        ensure!(response.code() == 202, "{}", response.text());
        let bytes = peers.link()?.bytes()? - before;
        eprintln!(
            "five subscribers, cut-through {cut_through}: {:.3} payloads crossed",
            bytes as f64 / size as f64
        );
        for meter in &meters {
            ensure!(meter.last()?.data == Pattern::new(3, size).measure());
        }
        assert!(bytes >= size, "{bytes}");
        assert!(bytes < size * 105 / 100 + 128 * 1024, "{bytes}");
    }
    Ok(())
}

/// One gateway alone pays nothing: no internal port, and nothing that says it looks for others. The same manifests.
#[tokio::test]
async fn a_gateway_without_peers_has_no_internal_port() -> TestResult {
    let pool = Pool::start("step", [on("a"), on("b")]).await?;
    let mut objects = pool.objects();
    objects.extend(channel_to("in", &pool.service));
    let gateway = Gateway::with(objects).args(["--node", "a"]).start().await?;
    let own = sockets(gateway.pid()?)?;
    for _ in 0..20 {
        post(gateway.listening, "in".to_owned()).await?;
    }
    assert_eq!(own, 2, "the public port and the admin port");
    assert_eq!(sockets(gateway.pid()?)?, 2);
    let log = gateway.log();
    assert!(
        log.contains("serving") && !log.contains("internal="),
        "{log}"
    );
    assert!(!log.contains("gateway of another node"), "{log}");
    Ok(())
}

/// How many TCP ports a process listens at.
fn sockets(pid: u32) -> anyhow::Result<usize> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
    // The tenth field is the inode, the fourth the state; `0A` listens.
    let fields = text.lines().skip(1).map(str::split_whitespace);
    let listens = fields.filter_map(|mut fields| {
        let state = fields.nth(3)?;
        (state == "0A").then(|| fields.nth(5)).flatten()
    });
    let listening: Vec<String> = listens.map(|inode| format!("socket:[{inode}]")).collect();
    let mut count = 0;
    for file in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(target) = std::fs::read_link(file?.path()) else {
            continue;
        };
        count += usize::from(
            listening
                .iter()
                .any(|name| target.as_os_str() == name.as_str()),
        );
    }
    Ok(count)
}
