//! What who reads over HTTP is told.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::stage::{Met, Stage};
use crate::support::Ran;
use crate::support::daemon::Daemon;

/// What a node that runs on the stage answers.
fn get(stage: &Stage, path: &str, token: Option<&str>) -> Met {
    let node = Daemon::start(&stage.place, &[]);
    let shown = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{shown}connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    node.stop();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    Met { status: None, ..Met::from(Ran { status: 0, stdout: body, stderr: String::new() }) }
}

fn token(stage: &Stage) -> String {
    stage.place.well(&["token", "--as", "bob"]).stdout.trim().to_owned()
}

pub(crate) fn token_missing(stage: &Stage) -> Met {
    get(stage, "/v1/records/house_sale/acme:sale-1", None)
}

pub(crate) fn token_refused(stage: &Stage) -> Met {
    get(stage, "/v1/records/house_sale/acme:sale-1", Some(&format!("{}AAAA", &token(stage)[..200])))
}

pub(crate) fn position_gone(stage: &Stage) -> Met {
    get(stage, "/v1/events?after=9000000000", Some(&token(stage)))
}
