//! Invitations: an admin's signed word that one participant may ask to take part.
//!
//! An invitation is made outside of the directory and costs nothing until it is used: only the
//! `participant.join` that carries it, with its secret opened, is an event. Who has the envelope but not the
//! secret was not given it.

use crate::crypto::{ALGORITHMS, Digest, Envelope, Signer, SignerError};
use crate::json::{Fields, Json, Limits, json};
use crate::names::{ActorId, ParticipantName};
use crate::package::FORMAT;
use crate::time::Timestamp;

use super::Directory;
use super::rules::DirectoryError;

/// DSSE payload type of an invitation.
pub const INVITATION_TYPE: &str = "application/vnd.lockstep.invitation.v1+json";

/// What an invitation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The network to take part in.
    pub network: Digest,
    /// Who is invited.
    pub participant: ParticipantName,
    /// Whether it is to have no vote.
    pub observer: bool,
    /// SHA-256 of the secret that comes with the invitation.
    pub secret: Digest,
    /// The last moment at which it can be used.
    pub expires: Timestamp,
    /// The admin who invites.
    pub by: ActorId,
}

/// A signed invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// What it says.
    pub terms: Terms,
    /// The envelope that it came in.
    pub envelope: Envelope,
}

impl Invitation {
    /// Makes and signs an invitation.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(terms: Terms, signer: &dyn Signer) -> Result<Self, SignerError> {
        let payload = json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "network": terms.network.to_string(),
            "participant": terms.participant.as_str(), "observer": terms.observer, "secret": terms.secret.to_string(),
            "expires": terms.expires.to_string(), "by": terms.by.as_str()
        });
        let envelope = Envelope::sign(INVITATION_TYPE, payload.canonical().into_bytes(), signer)?;
        Ok(Invitation { terms, envelope })
    }

    /// Reads an invitation from its envelope. Nothing is verified yet.
    ///
    /// # Errors
    /// What is malformed, or of a format that this version does not know.
    pub fn read(envelope: &Json) -> Result<Self, DirectoryError> {
        let envelope = Envelope::from_json(envelope)?;
        if envelope.payload_type != INVITATION_TYPE {
            let what = format!("payload type {} is not an invitation's", envelope.payload_type);
            return Err(DirectoryError::Invalid(what));
        }
        let payload = Json::parse_canonical(&envelope.payload, &Limits::default())?;
        let mut fields = Fields::of(&payload, "invitation")?;
        let (format, algorithms) = (fields.count("format")?, fields.text("algorithms")?);
        if format != FORMAT || algorithms != ALGORITHMS {
            let what = format!("invitation format {format} with {algorithms} is not known to this version");
            return Err(DirectoryError::Invalid(what));
        }
        let terms = Terms {
            network: fields.parsed("network", Digest::parse)?,
            participant: fields.parsed("participant", ParticipantName::parse)?,
            observer: fields.boolean("observer")?,
            secret: fields.parsed("secret", Digest::parse)?,
            expires: fields.parsed("expires", Timestamp::parse)?,
            by: fields.parsed("by", ActorId::parse)?,
        };
        fields.finish()?;
        Ok(Invitation { terms, envelope })
    }

    /// What the directory remembers of it once it is used: signatures are not part of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.envelope.payload)
    }

    /// Whether this is the secret that came with it.
    #[must_use]
    pub fn opened_by(&self, secret: &[u8; 32]) -> bool {
        Digest::of(secret) == self.terms.secret
    }
}

impl Directory {
    /// Whether an invitation could be used at this moment by whoever has its secret.
    ///
    /// # Errors
    /// [`DirectoryError`] says why not.
    pub fn check_invitation(&self, invitation: &Invitation, now: Timestamp) -> Result<(), DirectoryError> {
        self.check_terms(invitation, now)?;
        self.check_inviter(invitation)
    }

    /// Whether an invitation is for this network, of one who can invite, not used and not too old.
    pub(super) fn check_terms(&self, invitation: &Invitation, now: Timestamp) -> Result<(), DirectoryError> {
        let terms = &invitation.terms;
        let invalid = |what: String| Err(DirectoryError::Invalid(what));
        if terms.network != self.network {
            return invalid(format!("the invitation is for network {}, this is {}", terms.network, self.network));
        }
        if now > terms.expires {
            return invalid(format!("the invitation expired at {}", terms.expires));
        }
        if self.invitations.contains(&invitation.digest()) {
            return invalid("the invitation was used already".to_owned());
        }
        self.admin(&terms.by)?;
        if !self.has_vote(terms.by.participant().as_str()) {
            return Err(DirectoryError::Right(format!("{} has no vote, and invites nobody", terms.by.participant())));
        }
        Ok(())
    }

    /// Whether an invitation is signed by whom it names.
    pub(super) fn check_inviter(&self, invitation: &Invitation) -> Result<(), DirectoryError> {
        let by = &invitation.terms.by;
        let key = self.admin(by)?.key;
        if invitation.envelope.signatures.len() != 1 || !invitation.envelope.verified_by(&key) {
            return Err(DirectoryError::Votes(format!("the invitation is not signed by {by} alone")));
        }
        Ok(())
    }
}
