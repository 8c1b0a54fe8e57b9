//! HTTP for other machines: TLS, or nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http::{ask, take_apart};
use crate::support::daemon::Daemon;
use crate::support::{Place, root};

/// A certificate and its key.
fn pair(of: &str) -> [PathBuf; 2] {
    ["cert.pem", "key.pem"].map(|file| root().join("adapters/tls/tests").join(of).join(file))
}

fn files() -> [String; 2] {
    pair("localhost").map(|file| file.display().to_string())
}

fn configure(place: &Place, more: &str) {
    let path = place.dir().join("lockstep.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    // Keys come before tables.
    std::fs::write(path, format!("{more}\n{text}")).unwrap();
}

/// A GET over TLS by somebody who trusts the certificate.
fn get(port: &str, path: &str, token: &str) -> crate::http::Answer {
    get_trusting("localhost", port, path, token).unwrap()
}

/// A GET over TLS by somebody who trusts one certificate; nothing where the node shows another.
fn get_trusting(trusted: &str, port: &str, path: &str, token: &str) -> Option<crate::http::Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&pair(trusted)[0]).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    take_apart(&answer)
}

#[test]
fn other_machines_are_listened_to_over_tls_or_not_at_all() {
    let place = Place::sale("run-tls");
    let open = place.run(&["run", "--listen", "0.0.0.0:0", "--json"]);
    assert_eq!(open.status, 2, "{}", open.stdout);
    assert!(open.stdout.contains("tls_cert and tls_key"), "{}", open.stdout);
    let [certificate, key] = files();
    configure(&place, &format!("tls_cert = {key:?}\ntls_key = {key:?}"));
    let wrong = place.run(&["run", "--listen", "0.0.0.0:0", "--json"]);
    assert!(wrong.status == 1 && wrong.stdout.contains("\"configuration\""), "{}", wrong.stdout);
    let path = place.dir().join("lockstep.toml");
    let text = std::fs::read_to_string(&path).unwrap().replacen(&key, &certificate, 1);
    std::fs::write(path, text).unwrap();

    let token = place.well(&["token", "--as", "bob"]).stdout.trim().to_owned();
    let node = Daemon::start_at(&place, "0.0.0.0:0");
    let port = node.first.trim().strip_prefix("ready https://0.0.0.0:").unwrap().to_owned();
    let record = "/v1/records/house_sale/acme:sale-1";
    assert_eq!(get(&port, record, &token).status, 200);
    assert_eq!(get(&port, record, "x").problem(), (401, "token_refused".to_owned()));
    // Who does not speak TLS is not spoken to.
    assert!(ask(&format!("127.0.0.1:{port}"), "GET", "/health/live", "", b"").is_none());
    // Commands on this machine go through it all the same.
    place.well(&["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"341000.00"}"#]);
    place.well(&["actor", "add", "carol"]);
    node.stop();
}

#[test]
fn a_certificate_is_read_again_when_the_node_is_asked_to() {
    let place = Place::sale("run-tls-again");
    let put = |of: &str| {
        for file in pair(of) {
            std::fs::copy(&file, place.dir().join(file.file_name().unwrap())).unwrap();
        }
    };
    put("localhost");
    configure(&place, "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"");
    let node = Daemon::start_at(&place, "0.0.0.0:0");
    let port = node.first.trim().strip_prefix("ready https://0.0.0.0:").unwrap().to_owned();
    let shown = |which: &str| get_trusting(which, &port, "/health/live", "").is_some_and(|answer| answer.status == 200);
    assert!(shown("localhost") && !shown("renewed"));
    // Half of a renewal is none: the certificate that is there goes on.
    std::fs::copy(&pair("renewed")[0], place.dir().join("cert.pem")).unwrap();
    node.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(shown("localhost") && !shown("renewed"));
    put("renewed");
    node.signal("HUP");
    let until = Instant::now() + Duration::from_secs(20);
    while !shown("renewed") {
        assert!(Instant::now() < until, "the certificate is not read again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!shown("localhost"));
    node.stop();
}
