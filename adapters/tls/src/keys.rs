//! What a node shows of itself: its Ed25519 key as a SubjectPublicKeyInfo (RFC 8410) in place of a certificate.
//!
//! What TLS has signed begins with 64 spaces and its own words (RFC 8446, section 4.4.3), so it is neither a DSSE
//! envelope nor a note: one key for all three is safe.

use std::fmt;
use std::sync::Arc;

use lockstep_core::crypto::{PublicKey, Signer};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

/// SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes without unused bits }, up to the key's first byte.
const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key in its one encoding.
fn encoded(key: &PublicKey) -> Vec<u8> {
    [PREFIX.as_slice(), key.as_bytes()].concat()
}

/// The key in a SubjectPublicKeyInfo, where it is exactly the encoding of a key that may be registered.
pub(crate) fn public_key(shown: &CertificateDer<'_>) -> Option<PublicKey> {
    PublicKey::from_bytes(shown.strip_prefix(PREFIX.as_slice())?).ok()
}

/// The node's key as rustls takes it; the secret stays where the signer has it.
#[derive(Clone)]
pub(crate) struct NodeKey {
    pub(crate) public: PublicKey,
    signer: Arc<dyn Signer>,
}

impl NodeKey {
    pub(crate) fn new(signer: Arc<dyn Signer>) -> Self {
        NodeKey { public: signer.public_key(), signer }
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        let shown = CertificateDer::from(encoded(&self.public));
        Arc::new(CertifiedKey::new(vec![shown], Arc::new(self.clone())))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.public)
    }
}

impl rustls::sign::SigningKey for NodeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn rustls::sign::Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(encoded(&self.public)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl rustls::sign::Signer for NodeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.signer.sign(message).map_err(|error| Error::General(error.to_string()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[cfg(test)]
mod tests {
    use lockstep_core::crypto::LocalSigner;

    use super::*;

    #[test]
    #[allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
    fn only_the_one_encoding_of_a_key_is_a_key() {
        let key = LocalSigner::from_secret([7; 32]).public_key();
        let whole = encoded(&key);
        assert_eq!(public_key(&CertificateDer::from(whole.clone())), Some(key));
        for at in 0..PREFIX.len() {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            assert_eq!(public_key(&CertificateDer::from(wrong)), None, "byte {at}");
        }
        assert_eq!(public_key(&CertificateDer::from(whole[..43].to_vec())), None);
        assert_eq!(public_key(&CertificateDer::from([whole, vec![0]].concat())), None);
    }

    #[test]
    fn a_weak_key_is_no_key() {
        let weak = [PREFIX.as_slice(), &[1], &[0; 31]].concat();
        assert_eq!(public_key(&CertificateDer::from(weak)), None);
    }
}
