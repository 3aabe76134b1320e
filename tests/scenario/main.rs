//! Whole uses of the product: flows, edits, load, shutdown, TLS, and the commands of the binary.

mod async_handler;
mod bulky;
mod chains;
mod check;
mod commands;
mod default_kind;
mod drain;
mod edits;
mod explain;
mod filter_edits;
mod load;
mod many_triggers;
mod payload_flows;
mod payload_sizes;
mod payload_streams;
mod peers_link;
mod routing_policy;
mod routing_spread;
mod routing_workflow;
mod routing_zones;
mod samples;
mod settings;
mod soak;
mod targets;
