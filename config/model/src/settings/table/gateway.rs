//! Keys of where a gateway listens, of what it takes, and of the memory channel.

use super::{COUNT, Key, SIZE, TIME, key};
use crate::settings::value::Value;

/// The first keys of the README.
pub(super) const KEYS: &[Key] = &[
    key!(
        "listen",
        "IP:port",
        listen,
        "Where producers send events. On loopback, so that nothing is open unasked; port 0 takes a free one."
    ),
    key!(
        "admin",
        "IP:port",
        admin,
        "Health, metrics and debug pages. On loopback: they show every namespace."
    ),
    key!("node", "name", node, unset "", "Node that this gateway runs on; replicas on the same node count as near."),
    key!("zone", "name", zone, unset "", "Zone that this gateway runs in; replicas in the same zone count as near."),
    key!("internal.listen", "IP:port", internal.listen, unset "none", "Where other gateways reach this one, to have attempts made by it that are nearer to a replica, and to read its payloads; `none` for no such port. In Kubernetes port 9091 of the pod's address. Whoever asks needs a key of payloads.keyFile, so that must be set as well."),
    key!(
        "internal.maxConnections",
        COUNT,
        internal.max_connections,
        "Most connections of other gateways at once; further ones wait to be accepted. An attempt under way needs one, and a payload that is read one more."
    ),
    key!(
        "peers",
        "list",
        peers,
        "The other gateways: for each its `node` and its `url`, which is http or https with host and port of its internal.listen. On a command line `first=http://10.0.0.1:9091,second=http://10.0.0.2:9091`. This gateway itself may stand in it, so that one list serves all. Needs `node` and payloads.keyFile, with the same keys for all of them."
    ),
    key!(
        "clusterDomain",
        "name",
        cluster_domain,
        "DNS domain of the cluster whose names the manifests use. Kubernetes' own default."
    ),
    Key {
        name: "addresses",
        form: "map",
        doc: "`Kind/namespace/name` of an object, or a host with or without port, to the URL to send to instead: for what has no address here, \
              such as a Knative Service. Events keep the original URL in `knativeerrordest`.",
        set: |_, _| Err("is a map; set one entry, as `addresses.Service/demo/first`".to_owned()),
        show: |settings| {
            settings
                .addresses
                .iter()
                .map(|(key, url)| format!("{key}={url}"))
                .collect::<Vec<_>>()
                .join(",")
        },
    },
    key!(
        "limits.maxEventBytes",
        SIZE,
        limits.max_event_bytes,
        "Largest body of an event or reply; a larger one gets 413. Knative has no limit; a gibibyte is what one mistake may cost. At least 64Ki, which CloudEvents obliges everyone to forward (F2.6)."
    ),
    key!(
        "limits.maxStructuredBytes",
        SIZE,
        limits.max_structured_bytes,
        "Largest event in structured mode, in or out: it is parsed in memory, so its bound is far under limits.maxEventBytes, which holds as well. At least 64Ki (F2.6)."
    ),
    key!(
        "limits.inlineMax",
        SIZE,
        limits.inline_max,
        "Largest body that stays in the message; a larger one is set aside in a payload store. From 1Ki to 1Mi; the default is what CloudEvents obliges everyone to forward (F2.6)."
    ),
    key!(
        "limits.maxHeaderBytes",
        SIZE,
        limits.max_header_bytes,
        "Largest block of request headers; a larger one gets 431. From 8Ki to 1Mi: attributes travel in headers, but nobody needs more."
    ),
    key!(
        "limits.maxConnections",
        COUNT,
        limits.max_connections,
        "Most connections of producers at once; further ones wait to be accepted. An idle connection costs some 10 Ki of memory."
    ),
    key!("limits.bytesInFlight", SIZE, limits.bytes_in_flight, unset "auto", "Most bytes of events and payloads in the memory of this process; over it producers get 503 with Retry-After, and bulky payloads wait in the node store. `auto` is a quarter of the memory limit, at most 64Mi, so that buffers of connections have room beside it. A quarter is kept for replies. At least four times limits.inlineMax, and at least store.memory.maxPayload."),
    key!("limits.bytesInFlightPerNamespace", SIZE, limits.bytes_in_flight_per_namespace, unset "none", "The same for each namespace, so that none starves the others; `none` for no such bound. At least what limits.bytesInFlight must be, and at most that."),
    key!(
        "limits.connectionsPerReplica",
        COUNT,
        limits.connections_per_replica,
        "Most connections to one replica at once; further attempts wait for one to be free. Under the 1,024 open files that many servers are allowed by default, so that the server refuses nobody."
    ),
    key!(
        "limits.hops",
        COUNT,
        limits.hops,
        "Most hops of one event through channels; over it the event goes to the dead letter sink. Knative's brokers count down from 255 as well (C7.1)."
    ),
    key!(
        "memory.maxEvents",
        COUNT,
        memory.max_events,
        "Most unsettled events of one memory channel; over it producers get 503 with Retry-After. Small events hit this bound before the bytes."
    ),
    key!(
        "memory.backlog",
        COUNT,
        memory.backlog,
        "Most events that wait for one subscription of an async memory channel; over it `towpath.dev/on-full` decides."
    ),
    key!(
        "memory.settleTimeout",
        TIME,
        memory.settle_timeout,
        "Longest wait of a producer for its event to be settled everywhere, then 500. As long as Knative's InMemoryChannel waits (C8.5)."
    ),
];
