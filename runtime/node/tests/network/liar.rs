//! Somebody with a node's key who speaks the protocol by hand, and does as the test says.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::Signer;
use lockstep_core::log::Checkpoint;
use lockstep_core::names::NodeName;
use lockstep_core::sync::{End, Forward, Hello, Message, Taken, Wanted};
use lockstep_core::transport::{Bounds, Connection, Listener, Transport};

use crate::pair::Pair;
use crate::world::{Wish, key, now};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Liar {
    connection: Connection,
    listener: Option<Box<dyn Listener>>,
    number: u64,
}

fn hello(pair: &Pair, name: &str, other: &str) -> Message {
    Message::Hello(Hello {
        network: pair.world.directory.network(),
        node: NodeName::parse(name).unwrap(),
        directory: pair.world.directory.seq(),
        wants: [(format!("{other}/1"), Wanted::default())].into(),
    })
}

/// What acme signs about a wrapper.
pub fn taken(pair: &Pair, forward: &Forward, code: Option<&str>) -> Taken {
    let network = pair.world.directory.network();
    let checkpoint = Checkpoint { origin: format!("lockstep/{network}/acme/1"), size: 1, root: network };
    Taken {
        network,
        node: NodeName::parse("acme").unwrap(),
        forward: forward.digest(),
        time: now(),
        checkpoint: checkpoint.sign(&key("acme")).unwrap(),
        refused: code.map(|code| (code.to_owned(), "because".to_owned())),
    }
}

impl Liar {
    /// Takes acme's place: its node is stopped, bolt connects with the liar.
    pub async fn in_place_of(pair: &mut Pair) -> Self {
        pair.acme.halt().await;
        Self::at(pair).await
    }

    /// Waits for bolt where acme is reached.
    pub async fn at(pair: &Pair) -> Self {
        let transport = pair.acme.network.node(key("acme").public_key(), Bounds::default(), Arc::new(|_| true));
        let mut listener = transport.listen("acme:1").await.unwrap();
        let connection = listener.accept().await.unwrap();
        let mut liar = Liar { connection, listener: Some(listener), number: 0 };
        liar.say(hello(pair, "acme", "bolt")).await;
        liar
    }

    /// Waits for bolt once more.
    pub async fn meets(&mut self, pair: &Pair) {
        self.connection = self.listener.as_mut().unwrap().accept().await.unwrap();
        self.say(hello(pair, "acme", "bolt")).await;
    }

    /// Dials acme with another node's key.
    pub async fn dials(pair: &Pair, name: &str) -> Self {
        let transport = pair.acme.network.node(key(name).public_key(), Bounds::default(), Arc::new(|_| true));
        let connection = transport.dial("acme:1", &key("acme").public_key()).await.unwrap();
        let mut liar = Liar { connection, listener: None, number: 0 };
        liar.say(hello(pair, name, "acme")).await;
        liar
    }

    async fn say(&mut self, message: Message) {
        self.connection.sender.send(&message.encode()).await.unwrap();
    }

    /// The next message that is not part of the feeds, which are acknowledged.
    async fn hear(&mut self) -> Message {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.connection.receiver.receive()).await;
            let frame = frame.expect("nothing is said").unwrap().expect("the connection has ended");
            match Message::decode(&frame).unwrap() {
                Message::Feed(feed) => self.say(Message::Ack { log: feed.log, next: feed.next }).await,
                Message::Hello(_) | Message::Directory { .. } | Message::Heads { .. } | Message::Ended { .. } => {}
                message => return message,
            }
        }
    }

    /// The next intent that is handed over: the number and the wrapper.
    pub async fn forward(&mut self) -> (u64, Vec<u8>) {
        match self.hear().await {
            Message::Forward { number, wrapper, .. } => (number, wrapper),
            other => panic!("{} in place of a forward", other.kind()),
        }
    }

    /// Acknowledges, and does nothing.
    pub async fn takes(&mut self, pair: &Pair, number: u64, wrapper: &[u8]) {
        let forward = Forward::read(wrapper).unwrap();
        let taken = taken(pair, &forward, None).sign(&key("acme")).unwrap();
        self.say(Message::Forwarded { number, refused: None, taken: Some(taken) }).await;
    }

    /// Says, signed, that there will be no outcome.
    pub async fn turns_away(&mut self, pair: &Pair, wrapper: &[u8], code: &str) {
        let forward = Forward::read(wrapper).unwrap();
        let refused = taken(pair, &forward, Some(code)).sign(&key("acme")).unwrap();
        let end = End::Refused(refused).stored();
        self.say(Message::Ended { intent: forward.intent, end }).await;
    }

    /// Hands an intent over under any wrapper; the code, where it was not taken.
    pub async fn hands_over(&mut self, wish: &Wish, wrapper: Vec<u8>) -> Option<String> {
        self.number += 1;
        self.say(Message::Forward { number: self.number, submission: wish.bytes(), wrapper }).await;
        match self.hear().await {
            Message::Forwarded { number, refused, taken } if number == self.number => {
                assert_eq!(refused.is_none(), taken.is_some(), "it is either taken or not");
                refused.map(|(code, _)| code)
            }
            other => panic!("{} in place of an answer", other.kind()),
        }
    }
}
