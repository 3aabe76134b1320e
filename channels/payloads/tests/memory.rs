//! The memory store passes the suite.

use towpath_payloads::suite::{self, SMALL_ROOM, Traits};
use towpath_payloads::{Budget, BudgetSettings, MemoryStore};

fn store(bytes: u64, digest: bool) -> MemoryStore {
    let settings = BudgetSettings {
        total: "limits.bytesInFlight",
        per_namespace: "limits.bytesInFlightPerNamespace",
    };
    MemoryStore::new(Budget::new(bytes, bytes, settings), digest)
}

#[tokio::test]
async fn passes_the_suite() {
    for digest in [false, true] {
        suite::all(&store(128 << 20, digest), Traits { early: true }).await;
    }
}

#[tokio::test]
async fn says_when_it_is_full() {
    suite::full(&store(SMALL_ROOM, false)).await;
}
