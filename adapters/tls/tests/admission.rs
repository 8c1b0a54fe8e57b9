//! Nobody gets in, or is believed, without the secret of a key that the directory knows.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::io::ErrorKind;
use std::sync::Arc;

use common::raw::{acceptor, admitted, certificate, certified, dial, raw_key};
use common::{ANNA, BEN, CARL, anna_dials, anna_gets_in, ben, key, node, open_node, soon};
use lockstep_core::crypto::{LocalSigner, PublicKey, Signature, Signer, SignerError};
use lockstep_core::transport::{Bounds, Transport as _, TransportError};
use lockstep_tls::TlsTransport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn another_implementation_with_an_admitted_key_gets_in() {
    let mut listener = ben(Bounds::default()).await;
    let mut stream = soon(admitted(&listener.address(), raw_key(certified(&key(ANNA), ANNA)), true)).await.unwrap();
    stream.write_all(b"\x01\x00\x00\x00\x03yes").await.unwrap();
    let mut accepted = soon(listener.accept()).await.unwrap();
    assert_eq!(soon(accepted.receiver.receive()).await, Ok(Some(b"yes".to_vec())));
}

#[tokio::test]
async fn whoever_shows_a_key_without_its_secret_stays_outside() {
    let mut listener = ben(Bounds::default()).await;
    let impostor = raw_key(certified(&key(ANNA), CARL));
    let refused = soon(admitted(&listener.address(), impostor, true)).await.unwrap_err().to_string();
    assert!(refused.contains("DecryptError"), "{refused}");
    anna_gets_in(&mut *listener).await;
}

#[tokio::test]
async fn a_listener_that_shows_a_key_without_its_secret_is_not_believed() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let impostor = async { acceptor(certified(&key(BEN), CARL)).accept(tcp.accept().await.unwrap().0).await };
    let transport = open_node(ANNA, Bounds::default());
    let expected = key(BEN);
    let (dialled, accepted) = soon(async { tokio::join!(transport.dial(&address, &expected), impostor) }).await;
    let named = matches!(&dialled, Err(TransportError::Protocol { detail }) if detail.contains("BadSignature"));
    assert!(named, "{dialled:?}");
    assert!(accepted.unwrap_err().to_string().contains("DecryptError"));
}

#[tokio::test]
async fn a_certificate_is_no_key() {
    let mut listener = ben(Bounds::default()).await;
    for raw in [true, false] {
        let own = certificate(certified(&key(ANNA), ANNA));
        assert!(soon(admitted(&listener.address(), own, raw)).await.is_err(), "raw: {raw}");
    }
    anna_gets_in(&mut *listener).await;
}

#[tokio::test]
async fn who_is_not_admitted_is_told_so_every_time() {
    let listener = node(BEN, Bounds::default(), Arc::new(|_| false)).listen("127.0.0.1:0").await.unwrap();
    for time in 0..50 {
        assert_eq!(anna_dials(&*listener).await.err(), Some(TransportError::NotAdmitted), "time {time}");
    }
}

#[tokio::test]
async fn whoever_is_in_between_cannot_refuse_in_the_name_of_a_node() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let forger = async {
        let mut socket = tcp.accept().await.unwrap().0;
        // A fatal alert, access_denied, in the clear.
        socket.write_all(b"\x15\x03\x03\x00\x02\x02\x31").await.unwrap();
        socket
    };
    let transport = open_node(ANNA, Bounds::default());
    let expected = key(BEN);
    let (dialled, _socket) = soon(async { tokio::join!(transport.dial(&address, &expected), forger) }).await;
    assert!(matches!(dialled, Err(TransportError::Protocol { .. })), "{dialled:?}");
}

#[tokio::test]
async fn another_version_is_refused_by_both_sides() {
    let mut listener = ben(Bounds::default()).await;
    let own = raw_key(certified(&key(ANNA), ANNA));
    let mut stream = soon(admitted(&listener.address(), own, true)).await.unwrap();
    stream.write_all(b"\x02\x00\x00\x00\x03yes").await.unwrap();
    assert!(soon(stream.read_u8()).await.is_err(), "the connection goes on in version 2");
    anna_gets_in(&mut *listener).await;

    assert_eq!(answered(b"\x02").await, Some(TransportError::Version { found: 2 }));
    assert_eq!(answered(b"H").await, Some(TransportError::Version { found: b'H' }));
    assert_eq!(answered(b"\x01").await, None);
}

/// How a dial ends where the listener's first bytes are these.
async fn answered(first: &[u8]) -> Option<TransportError> {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let server = async {
        let socket = tcp.accept().await.unwrap().0;
        let mut stream = acceptor(certified(&key(BEN), BEN)).accept(socket).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream
    };
    let transport = open_node(ANNA, Bounds::default());
    let expected = key(BEN);
    let (dialled, _stream) = soon(async { tokio::join!(transport.dial(&address, &expected), server) }).await;
    dialled.err()
}

#[tokio::test]
async fn no_ticket_is_given_that_could_bring_a_revoked_key_back() {
    let mut listener = ben(Bounds::default()).await;
    let own = raw_key(certified(&key(ANNA), ANNA));
    let mut stream = soon(admitted(&listener.address(), own, true)).await.unwrap();
    stream.write_all(b"\x01").await.unwrap();
    let mut accepted = soon(listener.accept()).await.unwrap();
    accepted.sender.send(b"x").await.unwrap();
    accepted.sender.close().await.unwrap();
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"\x00\x00\x00\x01x");
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
}

#[tokio::test]
async fn a_client_without_any_key_stays_outside() {
    let mut listener = ben(Bounds::default()).await;
    let nothing: Arc<dyn rustls::client::ResolvesClientCert> = Arc::new(Nothing);
    let mut stream = match soon(dial(&listener.address(), nothing, true)).await {
        Ok(stream) => stream,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::InvalidData),
    };
    assert!(soon(stream.read_u8()).await.is_err());
    anna_gets_in(&mut *listener).await;
}

#[derive(Debug)]
struct Nothing;

impl rustls::client::ResolvesClientCert for Nothing {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A key that cannot be reached.
struct Absent;

impl Signer for Absent {
    fn public_key(&self) -> PublicKey {
        LocalSigner::from_secret([ANNA; 32]).public_key()
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, SignerError> {
        Err(SignerError::Unavailable { reason: "the key service sleeps".to_owned() })
    }
}

#[tokio::test]
async fn a_signer_that_does_not_answer_is_named() {
    let mut listener = ben(Bounds::default()).await;
    let transport = TlsTransport::new(Arc::new(Absent), Bounds::default(), Arc::new(|_| true));
    let found = soon(transport.dial(&listener.address(), &key(BEN))).await.err();
    let named = matches!(&found, Some(TransportError::Io { detail }) if detail.contains("the key service sleeps"));
    assert!(named, "{found:?}");
    anna_gets_in(&mut *listener).await;
}

#[test]
fn debugging_prints_no_secret() {
    let printed = format!("{:?}", open_node(ANNA, Bounds::default()));
    assert_eq!(printed, format!("TlsTransport({})", key(ANNA)));
}
