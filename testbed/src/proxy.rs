//! A proxy in front of a server that cuts a connection where a test wants it cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a connection is cut: at the next request that holds some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees the request.
    BeforeRequest,
    /// The server does what it is asked; its reply is lost.
    BeforeReply,
}

/// What to look for and where to cut; taken by the first connection that meets it.
type Order = Arc<Mutex<Option<(Vec<u8>, Cut)>>>;

/// Passes everything on to a server of this machine.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    order: Order,
}

impl Proxy {
    /// A proxy in front of a port; it ends with the process.
    ///
    /// # Panics
    /// Where this machine has no loopback interface.
    #[must_use]
    pub fn new(server_port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("this machine has a loopback interface");
        let port = listener.local_addr().expect("a listener has an address").port();
        let order = Order::default();
        let orders = Arc::clone(&order);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) {
                    pass_on(client, server, &orders);
                }
            }
        });
        Proxy { port, order }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connection whose next request holds these bytes.
    pub fn cut(&self, at: &[u8], cut: Cut) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = Some((at.to_vec(), cut));
    }

    /// Whether what was ordered last was done.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

fn pass_on(client: TcpStream, server: TcpStream, orders: &Order) {
    let (Ok(from_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else { return };
    let muted = Arc::new(Mutex::new(false));
    let (orders, muted_too) = (Arc::clone(orders), Arc::clone(&muted));
    std::thread::spawn(move || requests(client, server, &orders, &muted_too));
    std::thread::spawn(move || replies(from_server, to_client, &muted));
}

fn requests(mut client: TcpStream, mut server: TcpStream, orders: &Order, muted: &Mutex<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let request = buffer.get(..length).unwrap_or_default();
        match taken(orders, request) {
            Some(Cut::BeforeRequest) => break,
            // The server answers what nobody hears; then the connection ends.
            Some(Cut::BeforeReply) => *muted.lock().unwrap_or_else(PoisonError::into_inner) = true,
            None => {}
        }
        if server.write_all(request).is_err() {
            break;
        }
    }
    for stream in [client, server] {
        stream.shutdown(Shutdown::Both).ok();
    }
}

fn replies(mut server: TcpStream, mut client: TcpStream, muted: &Mutex<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        if *muted.lock().unwrap_or_else(PoisonError::into_inner) {
            break;
        }
        if client.write_all(buffer.get(..length).unwrap_or_default()).is_err() {
            break;
        }
    }
    for stream in [client, server] {
        stream.shutdown(Shutdown::Both).ok();
    }
}

/// The order, where the request is the one that it waits for.
fn taken(orders: &Order, request: &[u8]) -> Option<Cut> {
    let mut order = orders.lock().unwrap_or_else(PoisonError::into_inner);
    let (bytes, cut) = order.as_ref()?;
    let (length, cut) = (bytes.len().max(1), *cut);
    request.windows(length).any(|window| window == bytes.as_slice()).then(|| {
        *order = None;
        cut
    })
}
