//! The HTTP door of a node that is hard pressed: full, held up, sent too much or too slowly.

use std::net::SocketAddr;
use std::time::Duration;

use lockstep_core::database::CommitError;
use lockstep_node::{HttpConfig, HttpServer, Node, NodeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::bed::Bed;
use crate::world::World;

/// A door that is open until this is dropped.
struct Open {
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Open {
    async fn before(node: &Node, config: HttpConfig) -> Self {
        let stop = watch::Sender::new(false);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = HttpServer::bind(node.clone(), loopback, config, stop.subscribe()).await.unwrap();
        let address = server.address();
        tokio::spawn(server.serve());
        Open { address, _stop: stop }
    }

    /// Sends a head that promises `length` bytes, then those of the body.
    async fn send(&self, request: &str, length: usize, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn post(&self, body: &[u8]) -> String {
        self.send("POST /v1/intents?wait=0s", body.len(), body).await
    }

    async fn ready(&self) -> String {
        self.send("GET /health/ready", 0, b"").await
    }
}

/// The status, the code, and whether it is said when to come again.
fn check(answer: &str, status: &str, code: &str, again: bool) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    assert_eq!(answer.contains("retry-after: 1"), again, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_said_to_be_full() {
    let config = NodeConfig { queue: 1, batch: 1, queue_patience: Duration::from_millis(50), ..NodeConfig::default() };
    let mut bed = Bed::of(World::dealing(), config).await;
    let door = Open::before(&bed.node, HttpConfig::default()).await;
    let jam = bed.jam().await;
    let (third, fourth) = (bed.world.make("third"), bed.world.make("fourth"));
    let pending = door.post(&third.bytes()).await;
    assert!(pending.starts_with("HTTP/1.1 202 ") && pending.contains("\"status\":\"pending\""), "{pending}");
    check(&door.post(&fourth.bytes()).await, "429", "overloaded", true);
    bed.database.release();
    for one in jam {
        one.await.unwrap().unwrap();
    }
    bed.submit(&third).await.unwrap();
    let told = door.send("POST /v1/intents?wait=10s", third.bytes().len(), &third.bytes()).await;
    assert!(told.starts_with("HTTP/1.1 200 ") && told.contains("\"status\":\"applied\""), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_takes_nothing_nothing_is_taken() {
    let mut bed = Bed::dealing().await;
    let door = Open::before(&bed.node, HttpConfig::default()).await;
    for _ in 0..7 {
        bed.database.memory.fail_next(CommitError::Unavailable { detail: "locked".to_owned() }, false);
    }
    let (first, second) = (bed.world.make("first"), bed.world.make("second"));
    let first = bed.begin(&first);
    while bed.node.commits_well() {
        tokio::task::yield_now().await;
    }
    check(&door.post(&second.bytes()).await, "503", "database_unavailable", true);
    check(&door.ready().await, "503", "database_unavailable", true);
    first.await.unwrap().unwrap();
    while !bed.node.commits_well() {
        tokio::task::yield_now().await;
    }
    assert!(door.ready().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(bed.count("lockstep_intent"), 1, "what was turned away is not done later");
    bed.node.clone().stop().await;
    check(&door.post(&second.bytes()).await, "503", "database_unavailable", true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_its_time_and_its_room() {
    let bed = Bed::dealing().await;
    let short = Duration::from_millis(200);
    let slow = Open::before(&bed.node, HttpConfig { body_patience: short, ..HttpConfig::default() }).await;
    check(&slow.send("POST /v1/intents", 100, b"{").await, "408", "malformed", false);
    let narrow = HttpConfig { body_patience: short, bodies_bytes: 1000, ..HttpConfig::default() };
    let narrow = Open::before(&bed.node, narrow).await;
    check(&narrow.post(&[b' '; 2000]).await, "429", "overloaded", true);
    check(&narrow.post(&[b' '; 900]).await, "400", "malformed", false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_more_waits_for_one_to_end() {
    let bed = Bed::dealing().await;
    let config = HttpConfig { connections: 1, head_patience: Duration::from_millis(300), ..HttpConfig::default() };
    let door = Open::before(&bed.node, config).await;
    let idle = TcpStream::connect(door.address).await.unwrap();
    // The idle one is cut off in time, and the next one served.
    assert!(door.ready().await.starts_with("HTTP/1.1 200 "));
    drop(idle);
}
