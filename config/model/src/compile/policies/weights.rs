//! Strategy and weights of a `HopPolicy`, which go together.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::compile::plan::{Findings, Site};
use crate::objects::{HopPolicySpec, PolicyReplica, PolicyWeights};
use crate::topology::{ReplicaName, Strategy, Weights};

/// Largest weight: the sum of all of them is far from overflow.
const MOST: u32 = 1_000_000;
/// Most replicas that are listed one by one.
const REPLICAS: usize = 1000;
/// Longest name of a replica: that of a pod.
const NAME: usize = 253;

const WORDS: &str = "Adaptive, LocalFirst, Weighted, LeastRequest, RoundRobin";

/// The strategy of a `spec`; what is wrong is reported, and says nothing.
pub(super) fn strategy(
    spec: &HopPolicySpec,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<Strategy> {
    let (strategy, weights) = (site.field("strategy"), site.field("weights"));
    let word = match (spec.strategy.as_deref(), &spec.weights) {
        (None, None) => return None,
        (None, Some(_)) => {
            findings.problem(&strategy, "missing; `weights` need strategy `Weighted`");
            return None;
        }
        (Some("Weighted"), None) => {
            let message = "missing; strategy `Weighted` needs them, as `{local: 20, remote: 80}`";
            findings.problem(&weights, message);
            return None;
        }
        (Some("Weighted"), Some(written)) => {
            return read(written, &weights, findings).map(Strategy::Weighted);
        }
        (Some(word), written) => {
            if written.is_some() {
                let message = format!(
                    "are for strategy `Weighted`, and `strategy` is `{word}`; leave them out, or change that"
                );
                findings.problem(&weights, message);
            }
            word
        }
    };
    match word {
        "Adaptive" => Some(Strategy::Adaptive),
        "LocalFirst" => Some(Strategy::LocalFirst),
        "LeastRequest" => Some(Strategy::LeastRequest),
        "RoundRobin" => Some(Strategy::RoundRobin),
        _ => {
            findings.problem(&strategy, format!("`{word}` is not one of: {WORDS}"));
            None
        }
    }
}

fn read(weights: &PolicyWeights, site: &Site<'_>, findings: &mut Findings) -> Option<Weights> {
    let PolicyWeights {
        local,
        remote,
        replicas,
    } = weights;
    match (local.or(*remote), replicas) {
        (Some(_), Some(_)) => {
            let message = "given beside `local` and `remote`; keep one form of weights";
            findings.problem(&site.field("replicas"), message);
            None
        }
        (None, None) => {
            let message =
                "empty; write `{local: 20, remote: 80}`, or `replicas` with a weight each";
            findings.problem(site, message);
            None
        }
        (Some(_), None) => {
            let mut side = |field: &str, value| weight(value, &site.field(field), findings);
            let (local, remote) = (side("local", *local), side("remote", *remote));
            let (local, remote) = (local?, remote?);
            some_over_zero([local, remote], site, findings)?;
            Some(Weights::Placement { local, remote })
        }
        (None, Some(replicas)) => by_replica(replicas, &site.field("replicas"), findings),
    }
}

fn weight(value: Option<i64>, site: &Site<'_>, findings: &mut Findings) -> Option<u32> {
    let Some(value) = value else {
        findings.problem(site, "missing; write a weight, 0 for nothing");
        return None;
    };
    let weight = u32::try_from(value).ok().filter(|weight| *weight <= MOST);
    if weight.is_none() {
        findings.problem(site, format!("{value} is not from 0 to {MOST}"));
    }
    weight
}

fn some_over_zero(
    weights: impl IntoIterator<Item = u32>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<()> {
    if weights.into_iter().any(|weight| weight > 0) {
        return Some(());
    }
    let message = "all weights are 0, so no hop could go anywhere; raise one of them";
    findings.problem(site, message);
    None
}

fn by_replica(
    replicas: &[PolicyReplica],
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<Weights> {
    if replicas.is_empty() {
        findings.problem(site, "empty; name at least one replica");
        return None;
    }
    if replicas.len() > REPLICAS {
        let message = format!(
            "lists {}, and {REPLICAS} is the limit; weigh by `local` and `remote` instead",
            replicas.len()
        );
        findings.problem(site, message);
        return None;
    }
    let mut first: HashMap<ReplicaName, usize> = HashMap::new();
    let mut weights = Vec::with_capacity(replicas.len());
    for (index, replica) in replicas.iter().enumerate() {
        let site = site.field(&format!("[{index}]"));
        let name = name(replica.name.as_deref(), &site.field("name"), findings);
        let weight = weight(replica.weight, &site.field("weight"), findings);
        let (Some(name), Some(weight)) = (name, weight) else {
            continue;
        };
        if let Some(first) = first.insert(name.clone(), index) {
            let message = format!("`{name}` is also replicas[{first}]; keep one");
            findings.problem(&site.field("name"), message);
        }
        weights.push((name, weight));
    }
    if weights.len() < replicas.len() {
        return None;
    }
    some_over_zero(weights.iter().map(|(_, weight)| *weight), site, findings)?;
    Some(Weights::Replicas(weights.into()))
}

/// An address in the one form that it is shown in, so that `[::1]:80` and `[0:0::1]:80` are the same.
fn name(name: Option<&str>, site: &Site<'_>, findings: &mut Findings) -> Option<ReplicaName> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let message = "missing; a replica is known by its pod's name or UID, or by IP and port, as `10.0.0.7:8080`";
        findings.problem(site, message);
        return None;
    };
    if let Ok(address) = name.parse::<SocketAddr>() {
        return Some(address.to_string().into());
    }
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if name.len() <= NAME && name.chars().all(in_name) {
        return Some(name.into());
    }
    let message =
        format!("`{name}` is neither the name or UID of a pod nor IP and port, as `10.0.0.7:8080`");
    findings.problem(site, message);
    None
}
