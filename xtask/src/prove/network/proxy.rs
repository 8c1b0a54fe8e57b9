//! The proxy between the nodes: every node announces an address of ours, and what goes through can be cut at any
//! byte, held up, or lose bytes on its way.
//!
//! A link is one connection. What befalls it is rolled when it begins and whenever [`Proxy`] is told to; in calm
//! weather nothing befalls anything.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::origin::Origins;
use crate::prove::Dice;

/// Between two looks at whether what is held up may go on.
const PAUSE: Duration = Duration::from_millis(20);
/// No limit to the bytes of a link.
const ENDLESS: i64 = i64::MAX;

/// What was done to connections.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) cuts: AtomicU64,
    pub(super) delays: AtomicU64,
    pub(super) drops: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) links: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// One connection through the proxy.
struct Link {
    from: Option<&'static str>,
    to: &'static str,
    streams: [TcpStream; 2],
    /// Bytes that still go through before it is cut.
    left: AtomicI64,
    /// Whether the next bytes are lost on their way.
    loses: AtomicBool,
    held_until: Mutex<Instant>,
    over: AtomicBool,
}

struct Weather {
    stormy: bool,
    dice: Dice,
    /// The node that nobody reaches and that reaches nobody.
    apart: Option<&'static str>,
    links: Vec<Arc<Link>>,
}

/// The proxy of all nodes.
#[derive(Clone)]
pub(super) struct Proxy {
    weather: Arc<Mutex<Weather>>,
    pub(super) counts: Arc<Counts>,
    pub(super) origins: Arc<Origins>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Ends it in both directions; whether this did.
    fn cut(&self) -> bool {
        let first = !self.over.swap(true, Ordering::Relaxed);
        for stream in &self.streams {
            drop(stream.shutdown(Shutdown::Both));
        }
        first
    }

    fn concerns(&self, node: &str) -> bool {
        self.to == node || self.from == Some(node)
    }
}

impl Proxy {
    pub(super) fn new(dice: Dice) -> Self {
        let weather = Weather { stormy: false, dice, apart: None, links: Vec::new() };
        Proxy { weather: Arc::new(Mutex::new(weather)), counts: Arc::default(), origins: Arc::default() }
    }

    /// Takes connections for a node at one port and hands them on to another.
    pub(super) fn stand_before(&self, node: &'static str, announced: u16, listens: u16) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, announced)).map_err(|error| error.to_string())?;
        let proxy = self.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let proxy = proxy.clone();
                std::thread::spawn(move || proxy.connect(node, client, announced, listens));
            }
        });
        Ok(())
    }

    fn connect(&self, to: &'static str, client: TcpStream, announced: u16, listens: u16) {
        let from = self.origins.of(&client, announced);
        let apart = guard(&self.weather).apart;
        if apart.is_some_and(|apart| to == apart || from == Some(apart)) {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, listens)) else { return };
        let clones = (client.try_clone(), server.try_clone());
        let (Ok(client_too), Ok(server_too)) = clones else { return };
        for stream in [&client, &server] {
            drop(stream.set_nodelay(true));
        }
        let link = Arc::new(Link {
            from,
            to,
            streams: [client_too, server_too],
            left: AtomicI64::new(self.lasts()),
            loses: AtomicBool::new(false),
            held_until: Mutex::new(Instant::now()),
            over: AtomicBool::new(false),
        });
        self.counts.links.fetch_add(1, Ordering::Relaxed);
        guard(&self.weather).links.push(link.clone());
        let (there, proxy) = (link.clone(), self.clone());
        let (Ok(client_out), Ok(server_out)) = (client.try_clone(), server.try_clone()) else { return };
        let answers = std::thread::spawn(move || proxy.pump(&there, server, client_out));
        self.pump(&link, client, server_out);
        drop(answers.join());
        guard(&self.weather).links.retain(|other| !Arc::ptr_eq(other, &link));
    }

    /// How many bytes a new link gets: in a storm some end early, in the middle of a handshake too.
    fn lasts(&self) -> i64 {
        let mut weather = guard(&self.weather);
        if !weather.stormy || !weather.dice.percent(30) {
            return ENDLESS;
        }
        let magnitude = 9 + weather.dice.below(10);
        i64::try_from(weather.dice.below(1 << magnitude)).unwrap_or(ENDLESS)
    }

    /// Hands bytes on in one direction until the link is over.
    fn pump(&self, link: &Link, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 8192];
        while let Ok(count) = from.read(&mut bytes) {
            if count == 0 || !self.pass(link, bytes.get(..count).unwrap_or_default(), &mut to) {
                break;
            }
        }
        // The other side still may say goodbye; that half is its own pump's.
        drop(to.shutdown(Shutdown::Write));
    }

    /// Hands some bytes on, or what is left of them; whether the link goes on.
    fn pass(&self, link: &Link, bytes: &[u8], to: &mut TcpStream) -> bool {
        self.sometimes_delay();
        self.wait_for(link);
        if link.over.load(Ordering::Relaxed) {
            return false;
        }
        if link.loses.swap(false, Ordering::Relaxed) {
            self.counts.drops.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let count = i64::try_from(bytes.len()).unwrap_or(ENDLESS);
        let left = match link.left.load(Ordering::Relaxed) {
            ENDLESS => ENDLESS,
            _ => link.left.fetch_sub(count, Ordering::Relaxed),
        };
        let passes = usize::try_from(left.clamp(0, count)).unwrap_or(0);
        let written = to.write_all(bytes.get(..passes).unwrap_or_default()).is_ok();
        self.counts.bytes.fetch_add(u64::try_from(passes).unwrap_or(0), Ordering::Relaxed);
        if left < count {
            self.cut(link);
        }
        written && left >= count
    }

    fn cut(&self, link: &Link) {
        if link.cut() {
            self.counts.cuts.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sometimes_delay(&self) {
        let delay = {
            let mut weather = guard(&self.weather);
            let delayed = weather.stormy && weather.dice.percent(4);
            delayed.then(|| Duration::from_millis(weather.dice.below(250)))
        };
        if let Some(delay) = delay {
            self.counts.delays.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(delay);
        }
    }

    fn wait_for(&self, link: &Link) {
        let held = || {
            let apart = guard(&self.weather).apart;
            apart.is_some_and(|node| link.concerns(node)) || *guard(&link.held_until) > Instant::now()
        };
        while !link.over.load(Ordering::Relaxed) && held() {
            std::thread::sleep(PAUSE);
        }
    }

    /// From now on connections are badly treated, or no more.
    pub(super) fn storm(&self, stormy: bool) {
        let mut weather = guard(&self.weather);
        weather.stormy = stormy;
        if !stormy {
            weather.apart = None;
            for link in &weather.links {
                link.left.store(ENDLESS, Ordering::Relaxed);
                link.loses.store(false, Ordering::Relaxed);
                *guard(&link.held_until) = Instant::now();
            }
        }
    }

    fn any_link(&self) -> Option<Arc<Link>> {
        let mut weather = guard(&self.weather);
        let links = weather.links.clone();
        weather.dice.pick(&links).cloned()
    }

    /// Cuts some connection, a few bytes from now or at once.
    pub(super) fn cut_one(&self, bytes: u64) {
        let Some(link) = self.any_link() else { return };
        match i64::try_from(bytes) {
            Ok(bytes) if bytes > 0 => link.left.store(bytes, Ordering::Relaxed),
            _ => self.cut(&link),
        }
    }

    /// Lets some connection stand still.
    pub(super) fn hold_one(&self, lasts: Duration) {
        if let Some(link) = self.any_link() {
            *guard(&link.held_until) = Instant::now() + lasts;
        }
    }

    /// Takes bytes out of the middle of some connection.
    pub(super) fn lose_some(&self) {
        if let Some(link) = self.any_link() {
            link.loses.store(true, Ordering::Relaxed);
        }
    }

    /// Parts one node from all others.
    pub(super) fn part(&self, node: &'static str) {
        guard(&self.weather).apart = Some(node);
    }

    /// Ends that; what was held up goes on, or is cut.
    pub(super) fn rejoin(&self, cut: bool) {
        let (node, links) = {
            let mut weather = guard(&self.weather);
            (weather.apart.take(), weather.links.clone())
        };
        for link in links.iter().filter(|link| cut && node.is_some_and(|node| link.concerns(node))) {
            self.cut(link);
        }
    }
}
