//! The dialling side of a connection.

use std::sync::Arc;

use lockstep_core::crypto::PublicKey;
use lockstep_core::transport::{Connection, TransportError};
use rustls::ClientConfig;
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Node;
use crate::errors::{refused, unproved};
use crate::greet::greeted_back;
use crate::places::Place;
use crate::verify::OneKey;

pub(crate) async fn dial(node: &Node, address: &str, expected: &PublicKey) -> Result<Connection, TransportError> {
    let place = node.places.take(expected).ok_or(TransportError::Busy)?;
    timeout(node.bounds.handshake, connect(node, address, expected, place))
        .await
        .unwrap_or(Err(TransportError::TimedOut { what: "connect" }))
}

async fn connect(node: &Node, address: &str, expected: &PublicKey, place: Place) -> Result<Connection, TransportError> {
    let verifier = Arc::new(OneKey::new(*expected));
    let config = config(node, &verifier)?;
    let socket = reach(address).await?;
    // The name goes nowhere: it is neither sent nor compared.
    let name =
        ServerName::try_from("node.invalid").map_err(|error| refused(&rustls::Error::General(error.to_string())))?;
    let connecting = TlsConnector::from(config).connect(name, socket);
    let mut stream =
        connecting.await.map_err(|error| verifier.wrong_peer().unwrap_or_else(|| unproved(&error)))?.into();
    greeted_back(&mut stream).await?;
    Ok(node.connection(*expected, stream, place))
}

async fn reach(address: &str) -> Result<TcpStream, TransportError> {
    let unreachable =
        |error: std::io::Error| TransportError::Unreachable { address: address.to_owned(), detail: error.to_string() };
    let socket = TcpStream::connect(address).await.map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;
    Ok(socket)
}

/// Without resumption, so that every connection proves both keys anew, and without early data.
fn config(node: &Node, verifier: &Arc<OneKey>) -> Result<Arc<ClientConfig>, TransportError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&node.provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| refused(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<OneKey>::clone(verifier))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(node.key.certified())));
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_early_data = false;
    Ok(Arc::new(config))
}
