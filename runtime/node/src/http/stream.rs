//! Pages that readers share: each is read from the database once, prepared once, and put into bytes once for all
//! readers of one actor with one filter.
//!
//! A reader is a position and nothing else. Whoever asks for what comes after a position gets the page that covers it,
//! so that readers who have seen everything go on together, whenever they came. Who reads what is long past has a lane
//! of its own, and holds up nobody who waits for what comes next.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use lockstep_core::database::DatabaseError;
use lockstep_core::names::ActorId;
use lockstep_core::sync::Reader;
use tokio::sync::watch;

use super::filter::Filter;
use super::happened::{Happened, Kind, Source};
use crate::open::Node;

/// Most pages that are kept.
const PAGES: usize = 32;

/// Most bytes of all pages that are kept, but the newest.
const BYTES: usize = 8 << 20;

/// Bytes that are kept of a page for its actors and filters; what is beyond is put into bytes each time.
const RENDERED_BYTES: usize = 1 << 20;

/// How long after waking the readers they are left alone, and as much longer for each.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_EACH: Duration = Duration::from_micros(10);

/// A page with what readers were given of it.
pub(super) struct Page {
    pub(super) happened: Happened,
    rendered: Mutex<HashMap<(ActorId, Filter), Given>>,
}

/// What one actor may know of a page, as it is sent.
struct Given {
    /// By which roles it was judged.
    reader: Reader,
    bytes: Bytes,
    /// The position of each message, with where it ends.
    ends: Arc<[(u64, usize)]>,
}

impl Page {
    /// What a reader gets from a position on.
    pub(super) fn given(&self, reader: &Reader, filter: &Filter, from: u64) -> Bytes {
        let key = (reader.actor.clone(), filter.clone());
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(given) = rendered.get(&key).filter(|given| given.reader == *reader) {
            return given.from(from);
        }
        let given = render(&self.happened, reader, filter);
        let bytes = given.from(from);
        let kept: usize = rendered.values().map(Given::bytes).sum();
        if kept == 0 || kept + given.bytes() <= RENDERED_BYTES || rendered.contains_key(&key) {
            rendered.insert(key, given);
        }
        bytes
    }

    fn serves(&self, from: u64, least: u64) -> bool {
        (self.happened.from..self.happened.next).contains(&from) && self.happened.judged >= least
    }
}

impl Given {
    fn bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * 16 + 256
    }

    fn from(&self, from: u64) -> Bytes {
        let skipped = self.ends.iter().take_while(|(position, _)| *position < from).last();
        self.bytes.slice(skipped.map_or(0, |(_, end)| *end)..)
    }
}

fn render(happened: &Happened, reader: &Reader, filter: &Filter) -> Given {
    let (mut text, mut ends) = (String::new(), Vec::new());
    for item in &happened.items {
        if let Some(told) = item.told(reader, filter) {
            // Canonical JSON has no line breaks, so that it is one line of data.
            text.push_str(&format!("id: {}\ndata: {told}\n\n", item.position));
            ends.push((item.position, text.len()));
        }
    }
    Given { reader: reader.clone(), bytes: Bytes::from(text), ends: ends.into() }
}

/// One kind of what happens, for all who follow it.
pub(super) struct Stream {
    source: Source,
    pages: Mutex<VecDeque<Arc<Page>>>,
    now: tokio::sync::Mutex<()>,
    past: tokio::sync::Mutex<()>,
}

impl Stream {
    pub(super) fn new(node: Node, kind: Kind) -> Self {
        Stream {
            source: Source::new(node, kind),
            pages: Mutex::default(),
            now: tokio::sync::Mutex::default(),
            past: tokio::sync::Mutex::default(),
        }
    }

    /// The position after all that happened.
    pub(super) fn end(&self) -> u64 {
        self.source.end()
    }

    /// The page that covers a position, judged by memberships as of `least` or later; `None` where nothing has
    /// happened since.
    ///
    /// Whoever calls this must go on with it by itself: others wait for the same page.
    pub(super) async fn page(&self, from: u64, least: u64) -> Result<Option<Arc<Page>>, DatabaseError> {
        if from >= self.end() {
            return Ok(None);
        }
        if let Some(page) = self.kept(from, least) {
            return Ok(Some(page));
        }
        let lane = if self.is_past(from) { &self.past } else { &self.now };
        let _lane = lane.lock().await;
        if let Some(page) = self.kept(from, least) {
            return Ok(Some(page));
        }
        let page = Page { happened: self.source.read(from, least).await?, rendered: Mutex::default() };
        Ok(Some(self.keep(page)))
    }

    fn kept(&self, from: u64, least: u64) -> Option<Arc<Page>> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.iter().rev().find(|page| page.serves(from, least)).cloned()
    }

    /// Whether it comes before all that is kept.
    fn is_past(&self, from: u64) -> bool {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = pages.iter().map(|page| page.happened.next).max();
        newest.is_some_and(|newest| from < newest)
    }

    fn keep(&self, page: Page) -> Arc<Page> {
        let page = Arc::new(page);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.push_back(page.clone());
        let mut bytes: usize = pages.iter().map(|page| page.happened.bytes).sum();
        while pages.len() > PAGES || (bytes > BYTES && pages.len() > 1) {
            bytes -= pages.pop_front().map_or(0, |page| page.happened.bytes);
        }
        page
    }
}

/// Wakes all readers when something was committed, and then leaves them alone for a while: under load that makes
/// pages longer, not readers busier.
pub(super) async fn pulse(
    mut commits: watch::Receiver<u64>,
    pulse: watch::Sender<u64>,
    readers: Arc<AtomicUsize>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            changed = commits.changed() => if changed.is_err() { return },
        }
        let now = *commits.borrow_and_update();
        pulse.send_replace(now);
        let readers = u32::try_from(readers.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        tokio::time::sleep(PAUSE + PAUSE_EACH * readers).await;
    }
}
