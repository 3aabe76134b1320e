//! What goes wrong outside: hostile producers, broken subscribers, bad manifests. After each, the process goes on.

mod brokers;
mod connections;
mod filters;
mod input;
mod limits;
mod loops;
mod manifests;
mod slow;
mod subscribers;
