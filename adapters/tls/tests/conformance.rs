//! TLS keeps the promise of the seam.

use std::sync::Arc;

use lockstep_conformance::transport::{Factory, run};
use lockstep_core::crypto::Signer;
use lockstep_core::transport::{Admitted, Bounds, Transport};
use lockstep_tls::TlsTransport;

struct Loopback;

impl Factory for Loopback {
    fn node(&self, signer: Arc<dyn Signer>, bounds: Bounds, admitted: Admitted) -> Box<dyn Transport> {
        Box::new(TlsTransport::new(signer, bounds, admitted))
    }

    fn address(&self) -> String {
        "127.0.0.1:0".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_keeps_every_promise() {
    let report = run(&Loopback).await;
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test]
async fn tls_keeps_every_promise_on_one_thread() {
    let report = run(&Loopback).await;
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
