//! The in-memory transport keeps the promise of the seam.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lockstep_conformance::transport::{Factory, run};
use lockstep_core::crypto::Signer;
use lockstep_core::memory_transport::MemoryNetwork;
use lockstep_core::transport::{Admitted, Bounds, Transport};

#[derive(Default)]
struct Memory {
    network: MemoryNetwork,
    addresses: AtomicU32,
}

impl Factory for Memory {
    fn node(&self, signer: Arc<dyn Signer>, bounds: Bounds, admitted: Admitted) -> Box<dyn Transport> {
        Box::new(self.network.node(signer.public_key(), bounds, admitted))
    }

    fn address(&self) -> String {
        format!("address {}", self.addresses.fetch_add(1, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn the_in_memory_transport_keeps_every_promise() {
    let report = run(&Memory::default()).await;
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
