//! TLS for the HTTP door: a certificate that browsers and HTTP clients know how to check, from two files.
//!
//! Nothing of this concerns connections between nodes, which pin raw keys and need no certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Takes connections with a certificate: TLS 1.3 and nothing older.
#[derive(Clone)]
pub struct HttpsAcceptor(TlsAcceptor);

impl HttpsAcceptor {
    /// Reads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// What is wrong with which of the two files, for people.
    pub fn read(certificates: &Path, key: &Path) -> Result<Self, String> {
        let said = |file: &Path, what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
        let chain = CertificateDer::pem_file_iter(certificates)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| said(certificates, &error))?;
        if chain.is_empty() {
            return Err(said(certificates, &"it holds no certificate"));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| said(key, &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret))
            .map_err(|error| said(certificates, &error))?;
        Ok(HttpsAcceptor(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands on a connection that was accepted.
    ///
    /// # Errors
    /// The other side's.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}
