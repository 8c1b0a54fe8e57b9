//! DSSE, the envelope of everything that is signed (<https://github.com/secure-systems-lab/dsse>, v1.0.2).
//!
//! It owns the envelope's form and what exactly is signed: the payload's bytes together with their type, so
//! that a signature of one kind of statement never passes for another kind. What a payload says, and whose
//! signature it needs, is for the caller.

use std::collections::BTreeSet;

use data_encoding::BASE64;

use super::signer::{PublicKey, Signature, Signer, SignerError};
use crate::json::{Fields, Json, Object, ShapeError};

/// A payload of a type, and who signed both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What kind of statement the payload is: a media type.
    pub payload_type: String,
    /// The bytes that are signed, as they are.
    pub payload: Vec<u8>,
    /// At least one signature, none twice by one key.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// Which key signed: for Ed25519 the public key in hexadecimal. A claim, until it is verified.
    pub keyid: String,
    /// The signature's bytes; 64 for Ed25519, others for algorithms to come.
    pub sig: Vec<u8>,
}

/// Why a value is not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Members are missing, unknown or of the wrong type.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Not base64 as RFC 4648, section 4 writes it.
    #[error("the envelope's {member} is not canonical standard base64 with padding")]
    Base64 {
        /// Which member: `payload` or `signatures[N].sig`.
        member: String,
    },
    /// Something that may not be empty is.
    #[error("the envelope's {member} is empty")]
    Empty {
        /// Which member.
        member: String,
    },
    /// Two signatures claim one key, so that one envelope would have many spellings.
    #[error("the envelope is signed twice by the key {keyid:?}")]
    SignedTwice {
        /// The key.
        keyid: String,
    },
}

/// What is signed: DSSE's pre-authentication encoding of type and payload.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// Puts a payload into an envelope and signs it.
    pub fn sign(payload_type: &str, payload: Vec<u8>, signer: &dyn Signer) -> Result<Envelope, SignerError> {
        let mut envelope = Envelope { payload_type: payload_type.to_owned(), payload, signatures: Vec::new() };
        envelope.add_signature(signer)?;
        Ok(envelope)
    }

    /// Signs with one key more; an older signature by the same key is replaced.
    pub fn add_signature(&mut self, signer: &dyn Signer) -> Result<(), SignerError> {
        let added = self.signature(signer)?;
        self.signatures.retain(|signature| signature.keyid != added.keyid);
        self.signatures.push(added);
        Ok(())
    }

    /// The signature of this type and payload by one key, for whoever collects them elsewhere.
    pub fn signature(&self, signer: &dyn Signer) -> Result<EnvelopeSignature, SignerError> {
        let sig = signer.sign(&self.pae())?.as_bytes().to_vec();
        Ok(EnvelopeSignature { keyid: signer.public_key().to_string(), sig })
    }

    /// The bytes that each signature is of.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// Whether this key signed type and payload.
    #[must_use]
    pub fn verified_by(&self, key: &PublicKey) -> bool {
        let keyid = key.to_string();
        let mut claims = self.signatures.iter().filter(|signature| signature.keyid == keyid);
        claims.any(|claim| Signature::from_bytes(&claim.sig).is_ok_and(|signature| key.verify(&self.pae(), &signature)))
    }

    /// The envelope as JSON, with standard base64.
    pub fn to_json(&self) -> Json {
        let signature = |signature: &EnvelopeSignature| {
            let members = [("keyid", Json::from(&signature.keyid)), ("sig", BASE64.encode(&signature.sig).into())];
            Json::Object(Object::from_iter(members))
        };
        Json::Object(Object::from_iter([
            ("payload", Json::from(BASE64.encode(&self.payload))),
            ("payloadType", Json::from(&self.payload_type)),
            ("signatures", self.signatures.iter().map(signature).collect()),
        ]))
    }

    /// Reads an envelope: these members and no others, one spelling of each. Nothing is verified yet.
    pub fn from_json(value: &Json) -> Result<Envelope, EnvelopeError> {
        let mut fields = Fields::of(value, "envelope")?;
        let payload_type = filled("payloadType", fields.text("payloadType")?)?.to_owned();
        let payload = base64("payload", fields.text("payload")?)?;
        let listed = fields.array("signatures")?;
        fields.finish()?;
        if listed.is_empty() {
            return Err(EnvelopeError::Empty { member: "signatures".to_owned() });
        }
        let signatures = listed.iter().enumerate().map(signature_from_json).collect::<Result<Vec<_>, _>>()?;
        let mut keys = BTreeSet::new();
        if let Some(twice) = signatures.iter().find(|signature| !keys.insert(&signature.keyid)) {
            return Err(EnvelopeError::SignedTwice { keyid: twice.keyid.clone() });
        }
        Ok(Envelope { payload_type, payload, signatures })
    }
}

fn signature_from_json((at, value): (usize, &Json)) -> Result<EnvelopeSignature, EnvelopeError> {
    let place = format!("signatures[{at}]");
    let mut fields = Fields::of(value, &format!("envelope.{place}"))?;
    let keyid = filled(&format!("{place}.keyid"), fields.text("keyid")?)?.to_owned();
    let member = format!("{place}.sig");
    let sig = base64(&member, filled(&member, fields.text("sig")?)?)?;
    fields.finish()?;
    Ok(EnvelopeSignature { keyid, sig })
}

fn filled<'a>(member: &str, text: &'a str) -> Result<&'a str, EnvelopeError> {
    if text.is_empty() { Err(EnvelopeError::Empty { member: member.to_owned() }) } else { Ok(text) }
}

fn base64(member: &str, text: &str) -> Result<Vec<u8>, EnvelopeError> {
    BASE64.decode(text.as_bytes()).map_err(|_| EnvelopeError::Base64 { member: member.to_owned() })
}
