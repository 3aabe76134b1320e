//! A Service with replicas: programmable subscribers that each have a pod, a node and a zone, and the manifests that say so.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::gateway::Gateway;
use crate::manifest::{Object, endpoints, service};
use crate::subscriber::Subscriber;
use crate::work::Work;

/// Where a replica is. What is empty is not said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    /// Name and UID of its pod.
    pub pod: &'static str,
    /// The node.
    pub node: &'static str,
    /// The zone.
    pub zone: &'static str,
}

/// A Service and its replicas, all of which answer 202 at first.
#[derive(Debug)]
pub struct Pool {
    /// The Service.
    pub service: Object,
    /// In the order of their places.
    pub replicas: Vec<Subscriber>,
    places: Vec<Place>,
}

impl Pool {
    /// A Service of that name with a replica at each of these places.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(name: &str, places: impl IntoIterator<Item = Place>) -> Result<Self> {
        let places: Vec<Place> = places.into_iter().collect();
        let mut replicas = Vec::with_capacity(places.len());
        for _ in &places {
            replicas.push(Subscriber::start().await?);
        }
        Ok(Pool {
            service: service(name, "http", 80),
            replicas,
            places,
        })
    }

    /// The same, with so many replicas of which nothing is said.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn of(name: &str, replicas: usize) -> Result<Self> {
        Pool::start(name, std::iter::repeat_n(Place::default(), replicas)).await
    }

    /// The Service, and an EndpointSlice for each replica.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        self.with(|_| true)
    }

    /// The Service, and an EndpointSlice for each replica whose position is wanted.
    #[must_use]
    pub fn with(&self, wanted: impl Fn(usize) -> bool) -> Vec<Object> {
        let slice = |(index, (replica, place)): (usize, (&Subscriber, &Place))| {
            let slice = slice(self.service.name(), index, replica.address(), place);
            wanted(index).then_some(slice)
        };
        let all = self.replicas.iter().zip(&self.places);
        let mut objects = vec![self.service.clone()];
        objects.extend(all.enumerate().filter_map(slice));
        objects
    }

    /// Every replica does that work, each for itself, before it answers 202. Nobody keeps requests.
    pub fn works(&self, work: impl Fn(usize) -> Work) -> Vec<Work> {
        let replicas = self.replicas.iter().enumerate();
        replicas
            .map(|(index, replica)| {
                let work = work(index);
                replica.forget_requests();
                replica.otherwise(Answer::status(202).after(&work));
                work
            })
            .collect()
    }

    /// How many requests each replica got.
    #[must_use]
    pub fn counts(&self) -> Vec<usize> {
        self.replicas.iter().map(Subscriber::count).collect()
    }
}

/// The EndpointSlice of one replica of a Service, at port `http`.
#[must_use]
pub fn slice(service: &str, index: usize, address: SocketAddr, place: &Place) -> Object {
    let mut endpoint =
        json!({"addresses": [address.ip().to_string()], "conditions": {"ready": true}});
    for (field, value) in [("nodeName", place.node), ("zone", place.zone)] {
        if !value.is_empty() {
            endpoint[field] = value.into();
        }
    }
    if !place.pod.is_empty() {
        endpoint["targetRef"] = json!({"kind": "Pod", "name": place.pod, "uid": place.pod});
    }
    let mut slice = endpoints(service, "http", address).field("endpoints", json!([endpoint]));
    slice.metadata["name"] = format!("{service}-{index}").into();
    slice
}

/// A HopPolicy for that object, or for all of its namespace.
#[must_use]
pub fn hop_policy(name: &str, target: Option<&Object>) -> Object {
    let policy = Object::new("towpath.dev/v1alpha1", "HopPolicy", name).field("spec", json!({}));
    match target {
        Some(target) => policy.spec(
            "targetRef",
            json!({"kind": target.kind, "name": target.name()}),
        ),
        None => policy,
    }
}

/// What the gateway knows of the replica at that address: its entry of the page of replicas.
///
/// # Errors
/// When there is no response, or no such replica.
pub async fn known(gateway: &Gateway, address: SocketAddr) -> Result<Value> {
    let page: Value = serde_json::from_slice(&gateway.admin("/replicas").await?.body)?;
    let services = page["services"].as_array().context("no services")?;
    let mut ready = services
        .iter()
        .filter_map(|service| service["ready"].as_array())
        .flatten();
    let found = ready.find(|replica| replica["address"] == address.to_string());
    found
        .cloned()
        .with_context(|| format!("{address} in {page}"))
}

/// The largest of these counts by their mean; 0 for none.
#[must_use]
pub fn max_by_mean(counts: &[usize]) -> f64 {
    let most = counts.iter().max().copied().unwrap_or(0) as f64;
    let sum: usize = counts.iter().sum();
    most * counts.len() as f64 / sum.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_manifests_say_where_replicas_are() {
        let place = Place {
            pod: "p",
            node: "n",
            zone: "z",
        };
        let pool = Pool::start("step", [place, Place::default()])
            .await
            .unwrap();
        let objects = pool.objects();
        assert_eq!(objects.len(), 3);
        let endpoint = &objects[1].rest["endpoints"][0];
        assert_eq!(endpoint["targetRef"]["uid"], "p");
        assert_eq!(
            (&endpoint["nodeName"], &endpoint["zone"]),
            (&json!("n"), &json!("z"))
        );
        assert!(objects[2].rest["endpoints"][0].get("zone").is_none());
        assert_eq!(pool.with(|index| index == 1).len(), 2);
        assert!((max_by_mean(&[3, 1, 2]) - 1.5).abs() < 1e-9);
    }
}
