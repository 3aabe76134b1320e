//! Keys of payload stores, and of how subscribers get payloads.

use super::{COUNT, FLAG, Key, SIZE, TIME, key};
use crate::settings::value::Value;

/// The keys of `store` and `payloads`.
pub(super) const KEYS: &[Key] = &[
    key!(
        "store.memory.maxPayload",
        SIZE,
        store.memory.max_payload,
        "Largest payload that waits in memory, if limits.bytesInFlight has room; a larger one goes to the next store at once. 0 keeps none in memory. The default holds what is common, so that a few large ones do not push it out."
    ),
    key!(
        "store.node.directory",
        "path",
        store.node.directory,
        "Directory of the node store, an absolute path. `auto` is `towpath-<user id>` in `/var/tmp`, which is on disk and outlives a reboot; `none` for no node store."
    ),
    key!("store.node.quota", SIZE, store.node.quota, unset "auto", "Most bytes in the node store; over it payloads go to the object store or to NATS, else producers get 503 with Retry-After. `auto` is half of the free space of its file system at start, at most 256Gi: the other half is somebody else's. At least 1Mi."),
    key!("store.node.quotaPerNamespace", SIZE, store.node.quota_per_namespace, unset "none", "The same for each namespace, so that none fills the store for the others; `none` for no such bound. At least 1Mi, and at most store.node.quota."),
    key!(
        "store.node.dirtyBytes",
        SIZE,
        store.node.dirty_bytes,
        "Most bytes written to the node store that are not on disk yet; writers wait for them. They count as memory of the container. From 1Mi to 4Gi; the default keeps a disk busy."
    ),
    key!(
        "store.node.survivesPod",
        FLAG,
        store.node.survives_pod,
        "Whether the directory outlives the pod, as a hostPath does. Only then may a durable channel keep payloads there alone; nothing can find that out, so it must be said."
    ),
    key!("store.object.url", "URL", store.object.url, unset "none", "Bucket, and perhaps a prefix, for payloads: `s3://bucket/prefix`; `none` for no object store. Credentials come from the standard chain (environment, web identity, instance): there is no key for them."),
    key!("store.object.endpoint", "URL", store.object.endpoint, unset "", "Where the object store answers, as `https://minio.example.com:9000`. Not set: Amazon's endpoint for the region."),
    key!("store.object.region", "name", store.object.region, unset "", "Region of the bucket. Not set: that of the environment, else `us-east-1`, which most other servers take."),
    key!(
        "store.object.pathStyle",
        FLAG,
        store.object.path_style,
        "Whether the bucket is in the path of the URL rather than in its host. Every server takes that; few have a DNS name for each bucket."
    ),
    key!(
        "store.object.allowHttp",
        FLAG,
        store.object.allow_http,
        "Whether the endpoint may be plain `http`: payloads then cross the network as they are."
    ),
    key!("store.object.caFile", "path", store.object.ca_file, unset "", "PEM file of certificates trusted for the object store, besides the system's."),
    key!(
        "store.object.partBytes",
        SIZE,
        store.object.part_bytes,
        "Bytes of one part of an upload, each held in memory until it is stored. From 5Mi, S3's least, to 64Mi. 10,000 parts are the most of one upload: the default makes 78Gi of that."
    ),
    key!(
        "store.object.partsInFlight",
        COUNT,
        store.object.parts_in_flight,
        "Parts of one upload that are on their way at once. Two keep a connection busy, and each costs store.object.partBytes of memory. From 1 to 16."
    ),
    key!(
        "store.object.patience",
        TIME,
        store.object.patience,
        "How long the object store may make no progress before a request is given up, and how long one that failed is tried again. From 100ms to 10m; the default outlives a pause of a busy server, and is well under a delivery timeout."
    ),
    key!("store.nats.url", "URL", store.nats.url, unset "none", "NATS server for payloads, as `nats://127.0.0.1:4222` or `tls://nats.example.com`; it names the others of its cluster. `none` for no such store. User and password have no place in it: see store.nats.credentialsFile."),
    key!(
        "store.nats.bucket",
        "name",
        store.nats.bucket,
        "Name of the bucket in NATS, from which that of its stream is made: 1 to 64 letters, digits, `-` and `_`. Installations that share a server need different ones."
    ),
    key!(
        "store.nats.chunkBytes",
        SIZE,
        store.nats.chunk_bytes,
        "Bytes of one message of a payload. From 4Ki to 512Ki, and under the server's `max_payload` (1Mi by default). The default is what NATS' own object store uses."
    ),
    key!(
        "store.nats.acksInFlight",
        COUNT,
        store.nats.acks_in_flight,
        "Messages of one payload that wait for their acknowledgement at once. From 1 to 256; the default, at 128Ki each, is 2Mi on the way."
    ),
    key!(
        "store.nats.replicas",
        COUNT,
        store.nats.replicas,
        "Servers that keep each payload. From 1 to 5, as NATS allows; 1 works with a single server, 3 outlives the loss of one."
    ),
    key!(
        "store.nats.patience",
        TIME,
        store.nats.patience,
        "How long NATS may take to answer, a second try included, before a request is given up. From 100ms to 10m; the default outlives the choice of a new leader."
    ),
    key!("store.nats.maxBytes", SIZE, store.nats.max_bytes, unset "none", "Most bytes in the stream; then NATS refuses further ones, and nothing is discarded. `none` for no bound but the server's own. At least 1Mi."),
    key!("store.nats.credentialsFile", "path", store.nats.credentials_file, unset "", "File with the user's JWT and key, as `nsc` writes it. Not set: no credentials."),
    key!("store.nats.caFile", "path", store.nats.ca_file, unset "", "PEM file of certificates trusted for NATS, besides the system's."),
    key!(
        "store.digest",
        FLAG,
        store.digest,
        "Whether every payload that is set aside gets a SHA-256, which is checked when it is read. Off, since 2 MB cost a millisecond of CPU, and the length is checked anyway."
    ),
    key!(
        "store.sweepPeriod",
        TIME,
        store.sweep_period,
        "How often the stores are searched for payloads that belong to no message, as a crash leaves them. At most store.ttl."
    ),
    key!(
        "store.ttl",
        TIME,
        store.ttl,
        "Backstop: what is older is deleted whoever it belongs to. Over memory.settleTimeout and payloads.referenceGrace, since a payload must be there until its event is settled; a day is long after both."
    ),
    key!("payloads.url", "URL", payloads.url, unset "auto", "Base URL at which subscribers reach the payload API of this gateway: http or https with a host. `auto` is `http://<listen>`, which is right where they are on this machine."),
    key!(
        "payloads.referenceGrace",
        TIME,
        payloads.reference_grace,
        "How long a payload shown by reference stays readable after the subscriber's 2xx: it may answer first and read later."
    ),
    key!("payloads.keyFile", "path", payloads.key_file, unset "none", "File with the keys that sign payload URLs, one a line: the first signs, all verify, so that keys can change without a gap. Read again when it changes. `none` for a random key made at start, which no other gateway knows."),
    key!(
        "payloads.present",
        "Inline, Reference or File",
        payloads.present,
        "How subscribers get payloads that were set aside, where no annotation `towpath.dev/payload` says it. `Inline`, since that is all that a subscriber understands which knows nothing of Towpath."
    ),
];
