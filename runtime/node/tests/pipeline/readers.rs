//! Who reads over HTTP: what each actor is shown, from where it goes on, and that nobody waits for anybody else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lockstep_core::directory::Body;
use lockstep_core::json;
use lockstep_core::json::{Json, Limits};
use lockstep_core::token::Token;
use lockstep_node::{HttpConfig, HttpServer, NodeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::bed::{Bed, LONG};
use crate::world::{World, actor, deal_manifest, key, members, now, op, set};

/// Short of for ever.
const SOON: Duration = Duration::from_secs(20);

struct Door {
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Door {
    async fn before(bed: &Bed, config: HttpConfig) -> Self {
        let stop = watch::Sender::new(false);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = HttpServer::bind(bed.node.clone(), loopback, config, stop.subscribe()).await.unwrap();
        let address = server.address();
        tokio::spawn(server.serve());
        Door { address, stop }
    }

    /// A whole answer: its status, and its body with the chunks taken off.
    async fn get(&self, path: &str, token: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request(path, token).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let chunked = head.contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    async fn json(&self, path: &str, token: &str) -> Json {
        let (status, body) = self.get(path, token).await;
        assert_eq!(status, 200, "{path}: {body}");
        parse(&body)
    }

    async fn follow(&self, path: &str, token: &str) -> Reader {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request(path, token).as_bytes()).await.unwrap();
        let mut reader = Reader { stream, text: String::new() };
        // The first comment says that it is followed from now on.
        reader.until("\n\n").await;
        reader
    }
}

fn request(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n")
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        body = &rest[(size + 2).min(rest.len())..];
    }
    whole
}

fn parse(text: &str) -> Json {
    Json::parse(text.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Somebody who follows.
struct Reader {
    stream: TcpStream,
    text: String,
}

impl Reader {
    /// Reads until a text has come, once more than before.
    async fn until(&mut self, wanted: &str) {
        let mut buffer = [0; 4096];
        while !self.text.contains(wanted) {
            let read = tokio::time::timeout(SOON, self.stream.read(&mut buffer)).await;
            let read = read.unwrap_or_else(|_| panic!("no {wanted} in {}", self.text)).unwrap();
            assert!(read > 0, "it ended: {}", self.text);
            self.text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }

    /// The records of all events that came, with their positions.
    fn seen(&self) -> Vec<(u64, String)> {
        let mut seen = Vec::new();
        for message in self.text.split("\n\n") {
            let line = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (line("id: "), line("data: ")) {
                let record = parse(data).get("record_id").and_then(Json::as_str).unwrap().to_owned();
                seen.push((id.parse().unwrap(), record));
            }
        }
        seen
    }
}

fn token(bed: &Bed, who: &str) -> String {
    let token = Token {
        network: bed.world.directory.network(),
        node: bed.world.node.clone(),
        actor: actor(who),
        issued: now(),
        expires: now().plus(Duration::from_secs(3600)),
    };
    token.sign(&key(who)).unwrap()
}

async fn deal(bed: &mut Bed, name: &str) -> String {
    let wish = bed.world.make(name);
    bed.submit(&wish).await.unwrap().intent.to_string()
}

/// Where nobody sees anything of a deal but who has a role in it.
fn guarded() -> World {
    let mut world = World::new();
    world.people();
    let mut manifest = parse(&deal_manifest("1.0.0").canonical().replace("\"anyone\"]", "\"partner\"]"));
    let Json::Object(members) = &mut manifest else { panic!("a manifest is an object") };
    let Some(Json::Object(mut methods)) = members.remove("methods") else { panic!("it has methods") };
    methods.remove("both");
    members.insert("methods", methods);
    world.deploy(&manifest).unwrap();
    world
}

/// A new deal that is told of, with so many bytes of data.
async fn tell(bed: &mut Bed, name: &str, bytes: usize) {
    let parties = members(&[("owner", "ann@acme", 1), ("partner", "bob@bolt", 1)]);
    let told = json!({"do": "notify", "section": "open", "type": "deal.told", "data": {"blob": "x".repeat(bytes)}});
    let steps = vec![set("parties", parties), set("open", json!({"title": "t"})), set("secret", json!({})), told];
    let wish = bed.world.call("ann@acme", "make", name, steps);
    let decided = bed.submit(&wish).await.unwrap();
    assert_eq!(bed.ending(&decided).await, "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_actor_is_shown_what_it_may_see_and_the_rest_is_not_there() {
    let mut bed = Bed::dealing().await;
    let intent = deal(&mut bed, "one").await;
    let door = Door::before(&bed, HttpConfig::default()).await;
    let [ann, bob, gus] = ["ann@acme", "bob@bolt", "gus@bolt"].map(|who| token(&bed, who));
    let sections = |record: &Json| {
        let sections = record.get("sections").and_then(Json::as_object).unwrap();
        sections.keys().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let path = "/v1/records/deal/acme:one";
    assert_eq!(sections(&door.json(path, &ann).await), "open parties secret");
    assert_eq!(sections(&door.json(path, &bob).await), "open parties secret");
    assert_eq!(sections(&door.json(path, &gus).await), "open parties", "everyone's role reads no more");
    let line = parse(door.get("/v1/records/deal", &gus).await.1.trim());
    assert_eq!((sections(&line), line.get("seq").and_then(Json::as_u64)), ("open parties".to_owned(), Some(1)));

    let told = format!("/v1/intents/{intent}");
    let method = |outcome: Json| outcome.get("method").cloned().unwrap();
    assert_eq!(method(door.json(&told, &ann).await), Json::from("make"));
    assert_eq!(method(door.json(&told, &bob).await), Json::from("make"), "he may read all that it wrote");
    let narrow = door.json(&told, &gus).await;
    assert_eq!(narrow.get("record_id"), Some(&Json::from("acme:one")));
    for hidden in ["method", "seen", "code", "message"] {
        assert_eq!(narrow.get(hidden), Some(&Json::Null), "{hidden}");
    }
    assert_eq!(narrow.get("openings").and_then(|openings| openings.get("call")), Some(&Json::Null));
    assert!(!narrow.canonical().contains("price"), "{}", narrow.canonical());

    for (token, expected) in [(&ann, Json::from("make")), (&gus, Json::Null)] {
        let mut reader = door.follow("/v1/events", token).await;
        reader.until("data: ").await;
        reader.until("}\n\n").await;
        let data = reader.text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        assert_eq!(parse(data).get("method"), Some(&expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_after_the_last_position_misses_nothing_and_gets_nothing_twice() {
    let mut bed = Bed::dealing().await;
    let door = Door::before(&bed, HttpConfig::default()).await;
    let ann = token(&bed, "ann@acme");
    let mut seen = Vec::new();
    for round in 0..4 {
        let path =
            seen.last().map_or("/v1/events".to_owned(), |(last, _): &(u64, String)| format!("/v1/events?after={last}"));
        let mut reader = door.follow(&path, &ann).await;
        for one in 0..3 {
            deal(&mut bed, &format!("r{round}-{one}")).await;
        }
        reader.until(&format!("acme:r{round}-{}\"", round.min(2))).await;
        // What is cut in the middle comes whole the next time.
        let whole = reader.text.rfind("\n\n").unwrap();
        reader.text.truncate(whole);
        seen.extend(reader.seen());
    }
    let mut last = door.follow(&format!("/v1/events?after={}", seen.last().unwrap().0), &ann).await;
    deal(&mut bed, "end").await;
    last.until("acme:end\"").await;
    last.until("}\n\n").await;
    seen.extend(last.seen());
    let expected: Vec<String> = (0..4)
        .flat_map(|round| (0..3).map(move |one| format!("acme:r{round}-{one}")))
        .chain(["acme:end".to_owned()])
        .collect();
    assert_eq!(seen.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>(), expected);
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let (status, problem) = door.get("/v1/events?after=900000000000", &ann).await;
    assert_eq!((status, problem.contains("\"code\":\"position_gone\"")), (410, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_let_in_a_moment_ago_is_shown_what_happened_before() {
    let mut bed = Bed::of(guarded(), NodeConfig::default()).await;
    let door = Door::before(&bed, HttpConfig::default()).await;
    let [ann, bob] = ["ann@acme", "bob@bolt"].map(|who| token(&bed, who));
    let first = members(&[("owner", "ann@acme", 1)]);
    let steps = vec![set("parties", first), set("open", json!({"title": "t"}))];
    let made = bed.world.call("ann@acme", "make", "one", steps);
    bed.submit(&made).await.unwrap();
    // Both have been shown the page: it is kept, as it was judged then.
    let mut early = [door.follow("/v1/events", &ann).await, door.follow("/v1/events", &bob).await];
    early[0].until("}\n\n").await;
    let partner = op("parties", "add", "/members/-", json!({"role": "partner", "participant": "bolt", "from": 2}));
    let join = bed.world.call("ann@acme", "join", "one", vec![partner]);
    let decided = bed.submit(&join).await.unwrap();
    assert_eq!(bed.ending(&decided).await, "applied");
    let mut late = door.follow("/v1/events", &bob).await;
    late.until("\"seq\":2").await;
    late.until("}\n\n").await;
    assert_eq!(late.seen().len(), 2, "who comes late sees that something happened before: {}", late.text);
    early[1].until("\"seq\":2").await;
    assert_eq!(early[1].text.matches("data: ").count(), 1, "what was not for him then does not come later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_only_what_it_asked_for() {
    let mut bed = Bed::dealing().await;
    let door = Door::before(&bed, HttpConfig::default()).await;
    let ann = token(&bed, "ann@acme");
    let mut one = door.follow("/v1/events?record=acme:two&spec=deal&contract=deal&after=latest", &ann).await;
    let mut none = door.follow("/v1/events?contract=other&after=latest", &ann).await;
    for name in ["one", "two", "three"] {
        deal(&mut bed, name).await;
    }
    one.until("acme:two\"").await;
    assert_eq!(one.seen().len(), 1);
    assert!(!none.text.contains("data"));
    for bad in ["/v1/events?record=x", "/v1/events?type=a", "/v1/events?after=x", "/v1/events?wait=1s"] {
        assert_eq!(door.get(bad, &ann).await.0, 400, "{bad}");
    }
    bed.node.clone().stop().await;
    door.stop.send_replace(true);
    let mut rest = String::new();
    none.stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("0\r\n\r\n"), "it ends well when the node stops: {rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_reader_is_told_that_the_connection_lives_and_where_it_is() {
    let mut bed = Bed::dealing().await;
    let config = HttpConfig { heartbeat: Duration::from_millis(100), ..HttpConfig::default() };
    let door = Door::before(&bed, config).await;
    let ann = token(&bed, "ann@acme");
    let mut none = door.follow("/v1/events?contract=other", &ann).await;
    deal(&mut bed, "one").await;
    none.until(": nothing new\nid: ").await;
    let position: u64 = none.text.rsplit("id: ").next().unwrap().lines().next().unwrap().parse().unwrap();
    let after = door.follow(&format!("/v1/events?after={position}"), &ann).await;
    assert!(!after.text.contains("data"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_ends_what_is_followed() {
    let mut bed = Bed::dealing().await;
    let door = Door::before(&bed, HttpConfig::default()).await;
    let [bob, gus] = ["bob@bolt", "gus@bolt"].map(|who| token(&bed, who));
    let mut followed = [door.follow("/v1/events", &bob).await, door.follow("/v1/events", &gus).await];
    bed.world.change("root@acme", Body::ActorRevoke { actor: actor("bob@bolt") }).unwrap();
    let (event, _) = bed.world.events.last().cloned().unwrap();
    bed.node.change_directory(event, None, LONG).await.unwrap();
    let mut rest = String::new();
    tokio::time::timeout(SOON, followed[0].stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert_eq!(door.get("/v1/events", &bob).await.0, 401);
    deal(&mut bed, "later").await;
    followed[1].until("acme:later\"").await;
    assert!(!rest.contains("data"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_nothing_is_read() {
    let mut bed = Bed::dealing().await;
    let intent = deal(&mut bed, "one").await;
    let door = Door::before(&bed, HttpConfig::default()).await;
    let good = token(&bed, "ann@acme");
    let paths = [
        "/v1/records/deal",
        "/v1/records/deal/acme:one",
        "/v1/events",
        "/v1/notifications",
        &format!("/v1/intents/{intent}"),
    ];
    for path in paths {
        for bad in ["", "x", &good[..good.len() - 4], &format!("{}AAAA", &good[..good.len() - 4])] {
            let (status, body) = door.get(path, bad).await;
            assert_eq!(status, 401, "{path} {bad}: {body}");
            assert!(body.contains("\"code\":\"token_refused\"") || bad.is_empty(), "{body}");
        }
    }
    bed.clock.set(now().plus(Duration::from_secs(3600)));
    assert_eq!(door.get("/v1/records/deal", &good).await.0, 401, "it has expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_get_one_event_at_once_and_a_stuck_one_holds_up_nobody() {
    let mut bed = Bed::dealing().await;
    let config = HttpConfig { write_patience: Duration::from_secs(2), ..HttpConfig::default() };
    let door = Door::before(&bed, config).await;
    let [ann, gus] = ["ann@acme", "gus@bolt"].map(|who| token(&bed, who));
    // More than fits between the node and one that asks for everything and reads nothing.
    for number in 0..24 {
        tell(&mut bed, &format!("old-{number}"), 400_000).await;
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    let mut stuck = socket.connect(door.address).await.unwrap();
    stuck.write_all(request("/v1/notifications", &ann).as_bytes()).await.unwrap();
    let mut readers = Vec::new();
    for number in 0..1000 {
        let token = if number % 2 == 0 { &ann } else { &gus };
        readers.push(door.follow("/v1/notifications?after=latest", token).await);
    }
    let mut slowest = Duration::ZERO;
    for number in 0..10 {
        let began = Instant::now();
        tell(&mut bed, &format!("new-{number}"), 10).await;
        for reader in &mut readers {
            reader.until(&format!("acme:new-{number}\"")).await;
        }
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    for reader in &mut readers {
        reader.until("new-9#1.1.open.0\"").await;
        assert_eq!(reader.text.matches("data: ").count(), 10, "all of it, nothing twice");
    }
    let metrics = door.get("/metrics", "").await.1;
    assert!(metrics.contains("\nlockstep_events_total 34\n"), "{metrics}");
    let counted = |metrics: &str| metrics.lines().any(|line| line == "lockstep_http_readers 1000");
    let until = Instant::now() + SOON;
    while !counted(&door.get("/metrics", "").await.1) {
        assert!(Instant::now() < until, "the stuck one is not cut off");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(readers);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_what_it_is_sent_is_cut_off() {
    let mut bed = Bed::dealing().await;
    for number in 0..20 {
        deal(&mut bed, &format!("big-{number}")).await;
        let title = vec![set("secret", json!({"blob": "x".repeat(400_000)}))];
        let wish = bed.world.call("ann@acme", "whisper", &format!("big-{number}"), title);
        bed.submit(&wish).await.unwrap();
    }
    let config = HttpConfig { write_patience: Duration::from_millis(300), ..HttpConfig::default() };
    let door = Door::before(&bed, config).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    let mut stuck = socket.connect(door.address).await.unwrap();
    stuck.write_all(request("/v1/records/deal", &token(&bed, "ann@acme")).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut rest = Vec::new();
    let read = stuck.read_to_end(&mut rest).await;
    assert!(read.is_err() || !rest.ends_with(b"0\r\n\r\n"), "a part is not taken for the whole");
    let whole = door.get("/v1/records/deal", &token(&bed, "ann@acme")).await.1;
    assert_eq!(whole.lines().count(), 20, "and who reads gets everything");
    whole.lines().for_each(|line| drop(parse(line)));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_readers_as_there_is_room_for() {
    let bed = Bed::dealing().await;
    let door = Door::before(&bed, HttpConfig { readers: 2, ..HttpConfig::default() }).await;
    let ann = token(&bed, "ann@acme");
    let held = [door.follow("/v1/events", &ann).await, door.follow("/v1/notifications", &ann).await];
    assert_eq!(door.get("/v1/events", &ann).await.0, 429);
    drop(held);
    // A place is free again as soon as its reader has gone.
    let until = Instant::now() + SOON;
    while door.get("/health/live", "").await.0 == 200 {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        stream.write_all(request("/v1/events", &ann).as_bytes()).await.unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await.unwrap();
        if &begin == b"HTTP/1.1 200" {
            return;
        }
        assert!(Instant::now() < until, "nobody made room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
