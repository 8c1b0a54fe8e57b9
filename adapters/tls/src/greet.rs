//! The first byte of each direction.
//!
//! The listener speaks first. In TLS 1.3 a dialler believes itself connected before its own key was looked at; the
//! listener's byte tells it that it was admitted. It sends nothing before that, because data that nobody reads would
//! make the listener's system reset the connection, and the reason of a refusal would be lost on its way.

use lockstep_core::transport::{TransportError, VERSION};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::errors::failed;
use crate::link::Stream;

/// The listener's part.
pub(crate) async fn greet(stream: &mut Stream) -> Result<(), TransportError> {
    say(stream).await?;
    check(hear(stream).await?)
}

/// The listener's part where it has no place for another connection: an end in place of the byte.
pub(crate) async fn turned_away(stream: &mut Stream) -> Result<(), TransportError> {
    stream.shutdown().await.map_err(|error| failed(&error))
}

/// The dialler's part.
pub(crate) async fn greeted_back(stream: &mut Stream) -> Result<(), TransportError> {
    check(hear(stream).await?)?;
    say(stream).await
}

async fn say(stream: &mut Stream) -> Result<(), TransportError> {
    stream.write_all(&[VERSION]).await.map_err(|error| failed(&error))?;
    stream.flush().await.map_err(|error| failed(&error))
}

async fn hear(stream: &mut Stream) -> Result<Option<u8>, TransportError> {
    let mut byte = [0];
    let count = stream.read(&mut byte).await.map_err(|error| failed(&error))?;
    let [found] = byte;
    Ok((count > 0).then_some(found))
}

fn check(found: Option<u8>) -> Result<(), TransportError> {
    match found {
        Some(VERSION) => Ok(()),
        Some(found) => Err(TransportError::Version { found }),
        None => Err(TransportError::Busy),
    }
}
