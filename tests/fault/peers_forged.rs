//! The internal port refuses who is no gateway, and whoever is one but asks for what the manifests do not say: then nothing happens.

use std::net::{SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use aws_lc_rs::hmac;
use http::Method;
use towpath_harness::manifest::{
    Object, channel_path, in_memory_channel, reference, service, subscription,
};
use towpath_harness::peers::{KEY, ZONE};
use towpath_harness::poll::{SOON, until};
use towpath_harness::raw::Raw;
use towpath_harness::replica::{Place, hop_policy, slice};
use towpath_harness::{Event, Gateway, Message, Peers, Response, Sender, Subscriber, TestResult};

/// A gateway's token: it is on `node`, and it is `age` seconds later than now.
fn token(key: &str, node: &str, age: i64) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let signed = format!("v1.{node}.{}", now.saturating_sub_signed(age));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let text = [b"towpath gateway token\0", signed.as_bytes()].concat();
    let tag = hmac::sign(&key, &text);
    let digits: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!("Bearer {signed}.{digits}"))
}

/// What an attempt asks for.
struct Attempt {
    kind: &'static str,
    channel: &'static str,
    subscription: &'static str,
    leg: &'static str,
    replica: SocketAddr,
}

impl Attempt {
    /// The body of the request: a head of names with values, each with its length before it, and the data.
    fn body(&self) -> Vec<u8> {
        let replica = self.replica.to_string();
        let entries = [
            ("towpath-channel-kind", self.kind),
            ("towpath-channel-namespace", "demo"),
            ("towpath-channel-name", self.channel),
            ("towpath-subscription", self.subscription),
            ("towpath-leg", self.leg),
            ("towpath-replica", &replica),
            ("towpath-timeout", "5000000000"),
            ("towpath-pull", "0"),
            ("ce-specversion", "1.0"),
            ("ce-id", "forged"),
            ("ce-source", "/forged"),
            ("ce-type", "forged"),
        ];
        let mut head = Vec::new();
        for (name, value) in entries {
            head.extend((name.len() as u16).to_be_bytes());
            head.extend((value.len() as u32).to_be_bytes());
            head.extend(name.as_bytes());
            head.extend(value.as_bytes());
        }
        let mut body = (head.len() as u32).to_be_bytes().to_vec();
        body.extend(head);
        body.extend(b"data");
        body
    }
}

/// Two gateways; a Service with a replica on each node, and a channel `in` with the Subscription `s` to it.
struct Bed {
    gateways: Vec<Gateway>,
    replicas: Vec<Subscriber>,
    internal: SocketAddr,
    peers: Peers,
}

const CHANNEL_KIND: &str = "channel";
const SUBSCRIPTION: &str = "Subscription/demo/s";

impl Bed {
    async fn start() -> anyhow::Result<Self> {
        let (step, channel) = (service("step", "http", 80), in_memory_channel("in"));
        let mut objects: Vec<Object> = vec![
            subscription("s", &channel, reference(&step)),
            hop_policy("turns", Some(&step)).spec("strategy", "RoundRobin"),
            step,
            channel,
        ];
        let mut replicas = Vec::new();
        for (index, node) in ["a", "b"].into_iter().enumerate() {
            let replica = Subscriber::start().await?;
            let place = Place {
                pod: node,
                node,
                zone: ZONE,
            };
            objects.push(slice("step", index, replica.address(), &place));
            replicas.push(replica);
        }
        let peers = Peers::on_loopback(&["a", "b"])?;
        Ok(Self {
            gateways: peers.start(&objects).await?,
            replicas,
            internal: peers.internal("b")?,
            peers,
        })
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            kind: CHANNEL_KIND,
            channel: "in",
            subscription: SUBSCRIPTION,
            leg: "subscriber",
            replica: self.replicas[1].address(),
        }
    }

    async fn ask(
        &self,
        path: &str,
        token: Option<&str>,
        body: Vec<u8>,
    ) -> anyhow::Result<Response> {
        let message = Message {
            body: body.into(),
            ..Message::default()
        };
        let message = match token {
            Some(token) => message.header("authorization", token),
            None => message,
        };
        let mut sender = Sender::new(self.internal);
        sender.request(Method::POST, path, &message).await
    }

    /// Nothing came of what was asked so far: no replica got anything, and a hop goes on.
    async fn holds(&mut self) -> TestResult {
        for replica in &self.replicas {
            assert_eq!(replica.count(), 0, "a replica got something");
        }
        self.gateways[1].goes_on("in").await
    }
}

/// 401 with nothing in it, whatever is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_of_a_gateway_gets_nothing() -> TestResult {
    let mut bed = Bed::start().await?;
    let good = token(KEY, "a", 0)?;
    let other = token(KEY, "b", 0)?;
    let (signed, _) = good.rsplit_once('.').context("a signature")?;
    let (_, foreign) = other.rsplit_once('.').context("a signature")?;
    // What signs payload URLs has the same keys.
    let forged = [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer v1.a".to_owned()),
        Some(format!("{signed}.{}", "0".repeat(64))),
        Some(format!("{signed}.{foreign}")),
        Some(good.replace("v1.a.", "v1.b.")),
        Some(good.replace("Bearer", "Basic")),
        Some(token("another-key-than-theirs", "a", 0)?),
        Some(token(KEY, "a", 120)?),
        Some(token(KEY, "a", -120)?),
        Some(token(KEY, "a/../b", 0)?),
    ];
    let id = "0".repeat(32);
    let load = br#"{"services":[{"namespace":"demo","name":"step","port":80}]}"#.to_vec();
    let asked = [
        ("/v1/hops".to_owned(), bed.attempt().body()),
        ("/v1/load".to_owned(), load),
        ("/v1/leases".to_owned(), b"{}".to_vec()),
        (format!("/v1/payloads/{id}/0-10"), Vec::new()),
        ("/nowhere".to_owned(), Vec::new()),
    ];
    for token in &forged {
        for (path, body) in &asked {
            let response = bed.ask(path, token.as_deref(), body.clone()).await?;
            assert_eq!(response.code(), 401, "{path} {token:?}");
            assert!(response.body.is_empty(), "{path}: {}", response.text());
        }
    }
    let log = bed.gateways[1].log();
    assert!(!log.contains(KEY), "a key in the log");
    assert!(
        log.contains("refused a request at the internal port"),
        "{log}"
    );
    bed.holds().await?;
    // The same attempt by who may.
    let before = bed.replicas[1].count();
    let response = bed
        .ask("/v1/hops", Some(&good), bed.attempt().body())
        .await?;
    assert_eq!(response.code(), 200, "{}", response.text());
    let came = &bed.replicas[1].requests()[before..];
    assert_eq!(
        (came.len(), came[0].header("ce-id").as_str()),
        (1, "forged")
    );
    Ok(())
}

/// A body that never comes is not waited for, and one without end is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_gateway_is_not_listened_to() -> TestResult {
    let mut bed = Bed::start().await?;
    let mut raw = Raw::connect(bed.internal).await?;
    raw.write("POST /v1/hops HTTP/1.1\r\nHost: b\r\nContent-Length: 60000\r\n\r\nsome")
        .await?;
    assert_eq!(raw.read_to_end(SOON).await?.status(), 401);
    let raw = Raw::connect(bed.internal).await?;
    let endless = [
        b"POST /v1/hops HTTP/1.1\r\nHost: b\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        vec![b'x'; 32 << 20],
    ];
    let (taken, read) = raw.write_while_reading(&endless.concat(), SOON).await?;
    assert_eq!(read.status(), 401);
    assert!(taken < 16 << 20, "{taken} bytes were taken");
    bed.holds().await
}

/// A gateway may ask only for what both have in their manifests: 421 for everything else, and nobody is connected to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_names_no_address_of_its_own() -> TestResult {
    let mut bed = Bed::start().await?;
    let trap = TcpListener::bind("127.0.0.1:0")?;
    trap.set_nonblocking(true)?;
    let good = || bed.attempt();
    let trap_at = trap.local_addr()?;
    let asked = [
        Attempt {
            replica: trap_at,
            ..good()
        },
        Attempt {
            replica: bed.replicas[0].address(),
            ..good()
        },
        Attempt {
            replica: bed.gateways[1].admin,
            ..good()
        },
        Attempt {
            subscription: "Subscription/demo/none",
            ..good()
        },
        Attempt {
            subscription: "",
            ..good()
        },
        Attempt {
            channel: "none",
            ..good()
        },
        Attempt {
            kind: "broker",
            ..good()
        },
        Attempt {
            leg: "reply",
            ..good()
        },
        Attempt {
            leg: "dead-letter",
            ..good()
        },
        // Of another Subscription: its candidates are others.
        Attempt {
            channel: "probe-b",
            subscription: "Subscription/demo/probe-b",
            ..good()
        },
    ];
    let token = token(KEY, "a", 0)?;
    for (index, attempt) in asked.iter().enumerate() {
        let response = bed.ask("/v1/hops", Some(&token), attempt.body()).await?;
        assert_eq!(response.code(), 421, "{index}: {}", response.text());
    }
    let connected = trap.accept().map(|(_, from)| from);
    let nobody = connected.map_err(|error| error.kind());
    assert_eq!(nobody, Err(std::io::ErrorKind::WouldBlock));
    // What is no attempt at all.
    let body = bed.attempt().body();
    let broken = [
        Vec::new(),
        vec![0; 4],
        vec![0xff; 100],
        body[..body.len() / 2].to_vec(),
        Attempt {
            leg: "none",
            ..bed.attempt()
        }
        .body(),
    ];
    for body in broken {
        let response = bed.ask("/v1/hops", Some(&token), body.clone()).await?;
        assert_eq!(response.code(), 400, "{body:?}: {}", response.text());
    }
    bed.holds().await
}

/// Keys change on one gateway after the other, and the hops between them go on by their owners all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_without_a_failed_hop() -> TestResult {
    let bed = Bed::start().await?;
    let (old, new) = (KEY, "fedcba9876543210-next");
    let (both, turned) = (format!("{old}\n{new}"), format!("{new}\n{old}"));
    // Both know the new one before anybody signs with it, and nobody signs with the old one when it goes.
    let steps = [
        ("a", both.as_str()),
        ("b", &both),
        ("a", &turned),
        ("b", &turned),
        ("a", new),
        ("b", new),
    ];
    let path = channel_path("in");
    let mut sender = bed.gateways[0].sender();
    let mut sent = 0;
    for (node, keys) in steps {
        bed.peers.keys(node, keys)?;
        // A token of the newest key of the file shows that it was read; the oldest one's that it is gone.
        let (first, last) = (keys.lines().next(), keys.lines().last());
        let gone = (keys == new).then_some(old);
        until("the keys to be in force", SOON, async || {
            let event = Event::numbered(sent).binary();
            let response = sender.post(&path, &event).await?;
            assert_eq!(response.code(), 202, "{}", response.text());
            sent += 1;
            let to = bed.peers.internal(node)?;
            let ok = async |key: &str| {
                let message = Message {
                    body: b"{}".to_vec().into(),
                    ..Message::default()
                };
                let message = message.header("authorization", token(key, "tester", 0)?);
                let response = Sender::new(to).post("/v1/leases", &message).await?;
                anyhow::Ok(response.code() == 200)
            };
            for key in first.iter().chain(&last) {
                if !ok(key).await? {
                    return Ok(None);
                }
            }
            match gone {
                Some(key) if ok(key).await? => Ok(None),
                _ => Ok(Some(())),
            }
        })
        .await?;
    }
    for _ in 0..50 {
        let event = Event::numbered(sent).binary();
        assert_eq!(sender.post(&path, &event).await?.code(), 202);
        sent += 1;
    }
    let counts: Vec<usize> = bed.replicas.iter().map(Subscriber::count).collect();
    eprintln!("keys changed six times: {sent} events, {counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), sent);
    // No gateway was refused by the other.
    for gateway in &bed.gateways {
        let log = gateway.log();
        assert!(!log.contains("refused the token of this one"), "{log}");
    }
    Ok(())
}

/// Gateways whose keys differ are as if they did not reach each other: every hop is sent directly, and both logs say why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_with_other_keys_send_directly() -> TestResult {
    let bed = Bed::start().await?;
    bed.peers.keys("a", "a-key-that-b-does-not-know")?;
    let path = channel_path("in");
    let mut sender = bed.gateways[0].sender();
    let mut sent = 0;
    until("b to refuse a", SOON, async || {
        let event = Event::numbered(sent).binary();
        assert_eq!(sender.post(&path, &event).await?.code(), 202);
        sent += 1;
        let refused = bed.gateways[1]
            .log()
            .contains("refused a request at the internal port");
        Ok(refused.then_some(()))
    })
    .await?;
    for _ in 0..50 {
        let event = Event::numbered(sent).binary();
        assert_eq!(sender.post(&path, &event).await?.code(), 202);
        sent += 1;
    }
    let counts: Vec<usize> = bed.replicas.iter().map(Subscriber::count).collect();
    assert_eq!(counts.iter().sum::<usize>(), sent);
    let retries = bed.gateways[0]
        .metrics()
        .await?
        .sum("towpath_retries_total", &[]);
    assert!(retries < 0.5, "{retries} retries");
    let log = bed.gateways[0].log();
    assert!(
        log.contains("payloads.keyFile"),
        "what to do about it: {log}"
    );
    Ok(())
}
