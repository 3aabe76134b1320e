//! Two and three gateways in one process, over loopback.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use towpath_event::SetAside;
use towpath_payloads::{Begin, Budget, BudgetSettings, Draw, MemoryStore, Stores};

/// Stores of memory alone.
pub(super) fn stores() -> Stores {
    let settings = BudgetSettings {
        total: "limits.bytesInFlight",
        per_namespace: "limits.bytesInFlightPerNamespace",
    };
    let budget = Budget::new(1 << 30, 1 << 30, settings);
    Stores::new(Arc::new(MemoryStore::new(budget, false)), 1 << 30)
}

/// A payload in a store of its own.
pub(super) fn stored(data: &'static [u8]) -> Arc<dyn SetAside> {
    let begin = Begin {
        namespace: &"ns".into(),
        draw: Draw::Reply,
        length: Some(data.len() as u64),
        as_file: false,
    };
    let stores = stores();
    let stored = async {
        let mut writer = stores.begin(begin).await.unwrap();
        writer.write(Bytes::from_static(data)).await.unwrap();
        writer.finish().await.unwrap()
    };
    stored.now_or_never().unwrap()
}
