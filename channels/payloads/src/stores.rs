//! The stores of one gateway, and which of them a payload goes to: decided once, at admission (DESIGN section 5).

use std::sync::Arc;

use towpath_event::{ClaimCheck, ReadError, SetAside};

use crate::{Draw, Full, Life, New, PayloadMetrics, PayloadStore, StoreError, Tier, Writer};

/// The stores, fastest first. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Stores {
    memory: Arc<dyn PayloadStore>,
    /// Largest payload that goes to memory, in bytes.
    memory_at_most: u64,
    node: Option<Arc<dyn PayloadStore>>,
    remote: Vec<Arc<dyn PayloadStore>>,
    metrics: Option<PayloadMetrics>,
}

/// A payload that is to be written, and what its readers want.
#[derive(Debug, Clone, Copy)]
pub struct Begin<'a> {
    /// Whose it is.
    pub namespace: &'a Arc<str>,
    /// On whose behalf.
    pub draw: Draw,
    /// Its length in bytes, if known.
    pub length: Option<u64>,
    /// A subscriber is shown payloads as files: the node store first.
    pub as_file: bool,
}

impl Stores {
    /// Stores that begin with memory, for payloads of at most `memory_at_most` bytes.
    #[must_use]
    pub fn new(memory: Arc<dyn PayloadStore>, memory_at_most: u64) -> Self {
        Self {
            memory,
            memory_at_most,
            node: None,
            remote: Vec::new(),
            metrics: None,
        }
    }

    /// With a node store behind memory.
    #[must_use]
    pub fn with_node(self, node: Arc<dyn PayloadStore>) -> Self {
        Self {
            node: Some(node),
            ..self
        }
    }

    /// Those of them that are on this node.
    #[must_use]
    pub fn of_this_node(&self) -> Self {
        Self {
            remote: Vec::new(),
            ..self.clone()
        }
    }

    /// With one more store for what finds no room before it.
    #[must_use]
    pub fn with_remote(mut self, remote: Arc<dyn PayloadStore>) -> Self {
        self.remote.push(remote);
        self
    }

    /// Counted, and shown in `metrics`. To be called when all the stores are there.
    #[must_use]
    pub fn with_metrics(self, metrics: PayloadMetrics) -> Self {
        self.iter().for_each(|store| metrics.watch(store));
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Every store, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn PayloadStore>> {
        std::iter::once(&self.memory)
            .chain(&self.node)
            .chain(&self.remote)
    }

    /// Begins a payload in the first store that has room: memory if it is small enough, then node, then the remote
    /// ones. Without any store behind it memory takes larger ones too.
    ///
    /// # Errors
    /// What the last store said; [`StoreError::Full`] is worth another try later, unless it asks for more than the
    /// bound itself.
    pub async fn begin(&self, begin: Begin<'_>) -> Result<Box<dyn Writer>, StoreError> {
        let new = New {
            namespace: begin.namespace,
            draw: begin.draw,
            length: begin.length,
            life: Life::Held,
            as_file: begin.as_file,
        };
        let only_memory = self.node.is_none() && self.remote.is_empty();
        let fits = begin
            .length
            .is_some_and(|length| length <= self.memory_at_most);
        let memory = (only_memory || fits && !begin.as_file).then_some(&self.memory);
        let mut refused = None;
        for store in memory.into_iter().chain(&self.node).chain(&self.remote) {
            match store.create(new).await {
                Ok(writer) => {
                    let spilled = refused.is_some();
                    return Ok(self.counted(store.tier(), spilled, writer));
                }
                Err(error @ (StoreError::Full(_) | StoreError::Unavailable { .. })) => {
                    refused = Some(worth_more(refused, error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| ReadError::Store("there is no payload store".into()).into()))
    }

    /// Finds a kept payload by its claim check.
    ///
    /// # Errors
    /// As [`PayloadStore::find`]; also when no store here is the one that it names.
    pub async fn find(&self, claim: &ClaimCheck) -> Result<Arc<dyn SetAside>, StoreError> {
        let Some(store) = self.iter().find(|store| store.holds(&claim.place)) else {
            let text = format!("{claim}: no store here is that one");
            return Err(ReadError::Missing(text.into()).into());
        };
        let found = store.find(claim).await;
        let Some(metrics) = &self.metrics else {
            return found;
        };
        if let Err(StoreError::Read(ReadError::Missing(_))) = &found {
            metrics.early_miss();
        }
        Ok(metrics.payload(store.tier(), found?))
    }

    fn counted(&self, tier: Tier, spilled: bool, writer: Box<dyn Writer>) -> Box<dyn Writer> {
        let Some(metrics) = &self.metrics else {
            return writer;
        };
        if spilled {
            metrics.spilled(tier);
        }
        metrics.writer(tier, writer)
    }
}

/// Of two refusals the one that tells more: a full store will have room again, one that cannot be used may not.
fn worth_more(before: Option<StoreError>, after: StoreError) -> StoreError {
    match (before, &after) {
        (Some(before @ StoreError::Full(Full { .. })), StoreError::Unavailable { .. }) => before,
        _ => after,
    }
}
