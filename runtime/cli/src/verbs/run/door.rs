//! Where and how HTTP is answered: plainly on loopback, by TLS where others can come in.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use lockstep_core::codes::Code;
use lockstep_core::database::Pending;
use lockstep_node::{Handshake, Wire};
use lockstep_tls::HttpsAcceptor;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::context::Home;
use crate::error::CliError;
use crate::log::Log;

/// Where and how HTTP is answered.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    /// Set where other machines can reach it.
    pub(super) tls: Option<Https>,
}

impl Door {
    /// What goes over a network that others share must not be read by them: so it is TLS or nothing.
    pub(super) fn of(text: &str, home: &Home) -> Result<Self, CliError> {
        let usage = |message: String| CliError::new(Code::Usage, message);
        let address: SocketAddr = text
            .replace("localhost:", "127.0.0.1:")
            .parse()
            .map_err(|_| usage(format!("{text} is no address; write 127.0.0.1:7400")))?;
        if address.ip().is_loopback() {
            return Ok(Door { address, tls: None });
        }
        let Some((certificate, key)) = &home.config.tls else {
            let message = format!("{text} can be reached from other machines, and there is no certificate for TLS");
            let hint = "set tls_cert and tls_key in lockstep.toml (PEM files), or listen on 127.0.0.1 or [::1]";
            return Err(usage(message).hint(hint));
        };
        let https = Https::read(home.dir.join(certificate), home.dir.join(key));
        let https = https.map_err(|message| CliError::new(Code::Configuration, message))?;
        Ok(Door { address, tls: Some(https) })
    }
}

/// TLS as the door wants it, with a certificate that can be read again.
#[derive(Clone)]
pub(super) struct Https {
    acceptor: Arc<RwLock<HttpsAcceptor>>,
    certificate: PathBuf,
    key: PathBuf,
}

impl Https {
    fn read(certificate: PathBuf, key: PathBuf) -> Result<Self, String> {
        let acceptor = Arc::new(RwLock::new(HttpsAcceptor::read(&certificate, &key)?));
        Ok(Https { acceptor, certificate, key })
    }

    /// Reads both files again. Connections that are open keep what they began with; where the files are no good, so
    /// do all that come.
    fn read_again(&self) -> Result<(), String> {
        let fresh = HttpsAcceptor::read(&self.certificate, &self.key)?;
        *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl Handshake for Https {
    fn accept(&self, stream: TcpStream) -> Pending<'_, std::io::Result<Box<dyn Wire>>> {
        let acceptor = self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { acceptor.accept(stream).await.map(|stream| Box::new(stream) as Box<dyn Wire>) })
    }
}

/// Reads the certificate again at each SIGHUP, until the node ends. Without a certificate there is nothing to read,
/// and who asks is told so; but a node that somebody started in a terminal ends with it, as any program does.
pub(super) fn keep_certified(
    https: Option<Https>,
    log: Log,
    stop: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send, CliError> {
    let left = https.is_none() && std::io::stderr().is_terminal();
    // Taken before anybody can know that the node is there.
    let taken = (!left).then(|| signal(SignalKind::hangup())).transpose();
    let hangup = taken.map_err(|error| CliError::new(Code::Io, format!("signals: {error}")))?;
    Ok(async move {
        if let Some(hangup) = hangup {
            read_when_asked(https, hangup, &log, stop).await;
        }
    })
}

async fn read_when_asked(https: Option<Https>, mut hangup: Signal, log: &Log, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            asked = hangup.recv() => if asked.is_none() { return },
        }
        match https.as_ref().map(Https::read_again) {
            None => log.info("there is no certificate to read again"),
            Some(Ok(())) => log.info("the certificate was read again; connections from now on get it"),
            Some(Err(problem)) => log.warning(&format!("the certificate stays as it was: {problem}")),
        }
    }
}
