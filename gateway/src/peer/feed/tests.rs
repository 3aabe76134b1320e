//! The owner's side with time in hand: what is told, and when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towpath_config::topology::{Outlier, ServicePort};

use super::frame::{Change, Reader};
use super::{Feeds, Replicas, Service};
use crate::routing::load::{Feed, Load, Outcome};

#[derive(Default)]
struct Table(Mutex<Vec<(SocketAddr, Arc<Load>)>>);

impl Replicas for Table {
    fn services_on(&self, _: &str) -> Vec<ServicePort> {
        Vec::new()
    }

    fn loads_on(&self, node: &str, _: &[ServicePort]) -> Vec<(SocketAddr, Arc<Load>)> {
        assert_eq!(node, "own");
        self.0.lock().unwrap().clone()
    }
}

struct Bed {
    feeds: Feeds,
    table: Arc<Table>,
    changes: watch::Sender<u64>,
}

fn bed(replicas: u16) -> (Bed, Vec<Arc<Load>>) {
    let loads: Vec<_> = (0..replicas).map(|_| Arc::new(Load::new(None))).collect();
    let table = Arc::<Table>::default();
    for (port, load) in (0..).zip(&loads) {
        table
            .0
            .lock()
            .unwrap()
            .push((address(port), Arc::clone(load)));
    }
    let (changes, changed) = watch::channel(0);
    let feeds = Feeds::new(
        "own".into(),
        Arc::clone(&table) as _,
        changed,
        Instant::now(),
    );
    let bed = Bed {
        feeds,
        table,
        changes,
    };
    (bed, loads)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

impl Bed {
    fn open(&self) -> impl AsyncFnMut() -> Vec<Change> {
        let body = self.feeds.open(
            &"reader".into(),
            vec![Service::from(&ServicePort {
                namespace: "ns".into(),
                service: "step".into(),
                port: 80,
            })],
            CancellationToken::new(),
        );
        let mut body = Box::pin(body.unwrap());
        async move || {
            let frame = body.frame().await.unwrap().unwrap();
            let data: Bytes = frame.into_data().unwrap();
            let mut reader = Reader::default();
            reader.push(&data);
            reader.next().unwrap().unwrap()
        }
    }
}

fn loaded(in_flight: u32) -> Feed {
    Feed {
        in_flight,
        yours: 0,
        others_pulling_nanos: 0,
        service_nanos: 0,
        slots: 1,
    }
}

#[tokio::test(start_paused = true)]
async fn all_at_first_then_changes_only_at_most_each_20_ms_and_a_beat_each_second() {
    let (bed, loads) = bed(2);
    let mut next = bed.open();
    let first = next().await;
    assert_eq!(
        first,
        [
            Change::Name(0, address(0)),
            Change::Name(1, address(1)),
            Change::Load(0, loaded(0)),
            Change::Load(1, loaded(0)),
        ]
    );
    let start = Instant::now();
    let tickets: Vec<_> = (0..5).map(|_| loads[1].begin(0, 0)).collect();
    assert_eq!(next().await, [Change::Load(1, loaded(5))]);
    assert_eq!(start.elapsed(), Duration::from_millis(20));
    let _more = loads[0].begin(0, 0);
    assert_eq!(next().await, [Change::Load(0, loaded(1))]);
    assert_eq!(start.elapsed(), Duration::from_millis(40));
    assert_eq!(next().await, [], "alive");
    let silent = start.elapsed() - Duration::from_millis(40);
    assert!(silent >= Duration::from_secs(1) && silent < Duration::from_millis(1050));
    for ticket in tickets {
        loads[1].end(ticket, Outcome::Abandoned, &Outlier::default(), 0);
    }
    assert_eq!(next().await, [Change::Load(1, loaded(0))]);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_gets_the_newest_state() {
    let (bed, loads) = bed(1);
    let mut next = bed.open();
    next().await;
    let mut tickets = Vec::new();
    for _ in 0..1000 {
        tokio::time::advance(Duration::from_millis(20)).await;
        tickets.push(loads[0].begin(0, 0));
    }
    assert_eq!(next().await, [Change::Load(0, loaded(1000))]);
}

#[tokio::test(start_paused = true)]
async fn replicas_come_and_go() {
    let (bed, loads) = bed(2);
    let mut next = bed.open();
    next().await;
    let new = (address(7), Arc::new(Load::new(None)));
    *bed.table.0.lock().unwrap() = vec![(address(1), Arc::clone(&loads[1])), new.clone(), new];
    bed.changes.send_modify(|version| *version += 1);
    assert_eq!(
        next().await,
        [
            Change::Name(2, address(7)),
            Change::Gone(0),
            Change::Load(2, loaded(0)),
        ]
    );
    let _ticket = loads[1].begin(0, 0);
    bed.changes.send_modify(|version| *version += 1);
    assert_eq!(next().await, [Change::Load(1, loaded(1))], "named once");
}

#[tokio::test(start_paused = true)]
async fn each_reader_is_told_what_is_its_own() {
    let (bed, loads) = bed(1);
    let mut next = bed.open();
    next().await;
    let _tickets = (loads[0].begin(30, 0), loads[0].begin(12, 0));
    let mut sent = bed.feeds.begin(&"reader".into(), address(0), 30);
    let expected = |yours, others_pulling_nanos| Feed {
        yours,
        others_pulling_nanos,
        ..loaded(2)
    };
    assert_eq!(next().await, [Change::Load(0, expected(1, 12))]);
    sent.pulled();
    drop(sent);
    assert_eq!(next().await, [Change::Load(0, expected(0, 42))]);
}

#[tokio::test(start_paused = true)]
async fn feeds_are_bounded_and_end_with_the_gateway() {
    let (bed, _) = bed(1);
    let ending = CancellationToken::new();
    let open = || bed.feeds.open(&"reader".into(), Vec::new(), ending.clone());
    let many: Vec<_> = (0..8).map(|_| open().unwrap()).collect();
    let one_more = open().map(drop).unwrap_err();
    assert!(one_more.to_string().contains("reader"), "{one_more}");
    drop(many);
    let mut last = Box::pin(open().unwrap());
    last.frame().await.unwrap().unwrap();
    ending.cancel();
    assert!(last.frame().await.is_none());
    let services = || {
        let port = ServicePort {
            namespace: "ns".into(),
            service: "step".into(),
            port: 80,
        };
        (0..4097).map(|_| Service::from(&port)).collect()
    };
    let asked = bed.feeds.open(&"other".into(), services(), ending.clone());
    assert!(asked.is_err());
}
