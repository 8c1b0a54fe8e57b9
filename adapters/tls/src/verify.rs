//! What a node makes of the key that the other side shows and proves.

use std::fmt;
use std::sync::OnceLock;

use lockstep_core::crypto::{PublicKey, Signature};
use lockstep_core::transport::{Admitted, TransportError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

/// Takes one key only, and remembers which other it met.
#[derive(Debug)]
pub(crate) struct OneKey {
    expected: PublicKey,
    found: OnceLock<PublicKey>,
}

impl OneKey {
    pub(crate) fn new(expected: PublicKey) -> Self {
        OneKey { expected, found: OnceLock::new() }
    }

    /// The error to report where it was the key that was wrong.
    pub(crate) fn wrong_peer(&self) -> Option<TransportError> {
        let found = *self.found.get().filter(|found| **found != self.expected)?;
        Some(TransportError::WrongPeer { expected: Box::new(self.expected), found: Box::new(found) })
    }
}

impl ServerCertVerifier for OneKey {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = only_key(shown, more)?;
        if *self.found.get_or_init(|| found) == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(never())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        proved(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Takes the keys that are admitted at this moment.
pub(crate) struct AdmittedKeys {
    admitted: Admitted,
}

impl AdmittedKeys {
    pub(crate) fn new(admitted: Admitted) -> Self {
        AdmittedKeys { admitted }
    }
}

impl fmt::Debug for AdmittedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdmittedKeys")
    }
}

impl ClientCertVerifier for AdmittedKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if (self.admitted)(&only_key(shown, more)?) {
            return Ok(ClientCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(never())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        proved(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The key, where nothing else is shown beside it.
fn only_key(shown: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<PublicKey, Error> {
    crate::keys::public_key(shown).filter(|_| more.is_empty()).ok_or_else(|| CertificateError::BadEncoding.into())
}

/// Whether the other side has signed this handshake with the key that it shows, by the one rule for signatures that
/// everything else of ours is held to.
fn proved(
    message: &[u8],
    shown: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = only_key(shown, &[])?;
    let signature = Signature::from_bytes(signed.signature()).map_err(|_| CertificateError::BadSignature)?;
    if signed.scheme == SignatureScheme::ED25519 && key.verify(message, &signature) {
        return Ok(HandshakeSignatureValid::assertion());
    }
    Err(CertificateError::BadSignature.into())
}

/// TLS 1.2 is not compiled in.
fn never() -> Error {
    PeerIncompatible::SupportedVersionsExtensionRequired.into()
}
