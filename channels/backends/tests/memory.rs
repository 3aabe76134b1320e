//! The memory channel passes the suite, and holds its own bound.

use std::sync::Arc;

use futures_util::FutureExt;
use towpath_channels::{Channel, Memory, suite};

#[tokio::test]
async fn passes_the_suite() {
    suite::all(|| async { Arc::new(Memory::new(20_000)) as Arc<dyn Channel> }.boxed()).await;
}
