//! An intent as a database holds it, read back to be handed on.
//!
//! It was verified when it came in; whoever gets it verifies it for itself. So neither its signature nor its
//! commitments are looked at again, and it cannot be executed.

use crate::json::{Json, Limits};
use crate::names::ActorId;

use super::verify::read_envelope;
use super::{Call, Openings, StoredError, Target};

/// An intent as it is stored, as far as it is opened here.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredIntent {
    /// Who signed it.
    pub actor: ActorId,
    /// What it calls.
    pub call: Call,
    /// Its records, in the order of its payload; `None` for one that is not opened here.
    pub records: Vec<Option<Target>>,
    /// The envelope.
    pub envelope: Vec<u8>,
    /// The openings.
    pub openings: Vec<u8>,
}

impl StoredIntent {
    /// Reads the two columns.
    ///
    /// # Errors
    /// [`StoredError`] says in which of them the trouble is.
    pub fn read(envelope: &[u8], openings: &[u8]) -> Result<Self, StoredError> {
        let limits = Limits { bytes: 64 << 20, ..Limits::default() };
        let json = Json::parse(envelope, &limits).map_err(|error| StoredError::Envelope(error.to_string()))?;
        let (_, payload) = read_envelope(&json, &limits).map_err(|refusal| StoredError::Envelope(refusal.message))?;
        let opened = Json::parse(openings, &limits).map_err(|error| StoredError::Openings(error.to_string()))?;
        let opened = Openings::read(&opened).map_err(|error| StoredError::Openings(error.to_string()))?;
        let records = opened.targets.into_iter().map(|target| target.map(|(_, target)| target)).collect();
        let call = opened.call.map_or(Call::Hidden, |(_, call)| call);
        Ok(StoredIntent {
            actor: payload.actor,
            call,
            records,
            envelope: envelope.to_vec(),
            openings: openings.to_vec(),
        })
    }

    /// The records that are opened here, in order.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.records.iter().flatten()
    }
}
