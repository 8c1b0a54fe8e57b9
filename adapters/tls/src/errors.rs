//! What an error of the socket or of TLS means to the caller.

use std::io::{self, ErrorKind};

use lockstep_core::transport::TransportError;
use rustls::AlertDescription;

/// An error of a connection that was reached.
pub(crate) fn failed(error: &io::Error) -> TransportError {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return refused(tls);
    }
    match error.kind() {
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::WriteZero => TransportError::Closed,
        _ => TransportError::Io { detail: error.to_string() },
    }
}

/// An error of a handshake: what came before the other side proved its key, anybody in between may have sent.
pub(crate) fn unproved(error: &io::Error) -> TransportError {
    match failed(error) {
        TransportError::NotAdmitted => {
            TransportError::Protocol { detail: "it refuses before it proved its key".to_owned() }
        }
        other => other,
    }
}

/// An error of TLS. A listener that does not admit a key answers `access_denied`.
pub(crate) fn refused(error: &rustls::Error) -> TransportError {
    match error {
        rustls::Error::AlertReceived(AlertDescription::AccessDenied) => TransportError::NotAdmitted,
        rustls::Error::General(detail) => TransportError::Io { detail: detail.clone() },
        other => TransportError::Protocol { detail: other.to_string() },
    }
}
