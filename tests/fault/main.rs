//! What goes wrong outside: hostile producers, broken subscribers, bad manifests. After each, the process goes on.

mod brokers;
mod connections;
mod filters;
mod input;
mod limits;
mod loops;
mod manifests;
mod payload_adoption;
mod payload_crash;
mod payload_damage;
mod payload_kit;
mod payload_producers;
mod payload_remote;
mod payload_replies;
mod payload_room;
mod payload_step;
mod payload_structured;
mod payload_subscribers;
mod payload_transport;
mod payload_uploads;
mod payload_urls;
mod routing_faults;
mod routing_health;
mod slow;
mod subscribers;
