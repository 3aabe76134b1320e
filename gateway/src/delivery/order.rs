//! Events of one key one after the other, where a `HopPolicy` asks for `order: Key`.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use towpath_event::Attributes;

/// Keys share so many lines; two keys in one line wait for each other.
const LINES: usize = 256;

/// The lines in which the events of one subscription wait. Who comes first goes first.
#[derive(Debug)]
pub(crate) struct InOrder {
    hasher: RandomState,
    lines: Box<[Arc<Mutex<()>>]>,
}

impl Default for InOrder {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            lines: std::iter::repeat_with(Arc::default).take(LINES).collect(),
        }
    }
}

impl InOrder {
    /// Waits until every event with the same key that came before is delivered. The turn lasts until what is returned is
    /// dropped.
    pub(crate) async fn turn(&self, attributes: &Attributes) -> Option<OwnedMutexGuard<()>> {
        let hash = match attributes.get("partitionkey") {
            Some(key) => self.hasher.hash_one(key),
            None => self
                .hasher
                .hash_one((attributes.source(), attributes.get("subject"))),
        };
        let line = self.lines.get(hash as usize % LINES)?;
        Some(Arc::clone(line).lock_owned().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use towpath_event::{SpecVersion, Value};

    fn event(source: &str, key: Option<&str>) -> Attributes {
        let mut attributes = Attributes::new(SpecVersion::V10, "1", source, "t").unwrap();
        if let Some(key) = key {
            attributes.set("partitionkey", Value::from(key)).unwrap();
        }
        attributes
    }

    #[test]
    fn a_key_waits_for_its_own() {
        let order = InOrder::default();
        let (first, same) = (event("/a", Some("k")), event("/b", Some("k")));
        let turn = order.turn(&first).now_or_never().unwrap();
        let mut second = Box::pin(order.turn(&same));
        let mut third = Box::pin(order.turn(&first));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        let others = (0..20).map(|n| event(&format!("/{n}"), None));
        let free = others.filter(|other| order.turn(other).now_or_never().is_some());
        assert!(free.count() > 10);
        drop(turn);
        assert!((&mut third).now_or_never().is_none(), "in order of arrival");
        drop(second.now_or_never().unwrap());
        assert!(third.now_or_never().is_some());
    }
}
