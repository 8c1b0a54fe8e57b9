//! Whose connection it is that the proxy accepted: the kernel knows which process holds the other end.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The processes of the nodes.
#[derive(Default)]
pub(super) struct Origins(Mutex<BTreeMap<&'static str, u32>>);

impl Origins {
    /// Notes the process that a node has now.
    pub(super) fn note(&self, node: &'static str, process: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, process);
    }

    /// The node that dialled; `None` where the kernel does not say.
    pub(super) fn of(&self, accepted: &TcpStream, announced: u16) -> Option<&'static str> {
        let dialled_from = accepted.peer_addr().ok()?.port();
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let inode = table.lines().find_map(|line| inode(line, dialled_from, announced))?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.into_iter().find(|(_, process)| holds(*process, &inode)).map(|(node, _)| node)
    }
}

/// The inode of the socket that goes from one port to another, where the line is about that one.
fn inode(line: &str, from: u16, to: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port = |at: usize| u16::from_str_radix(fields.get(at)?.rsplit(':').next()?, 16).ok();
    (port(1)? == from && port(2)? == to).then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

fn holds(process: u32, inode: &str) -> bool {
    let wanted = format!("socket:[{inode}]");
    let files = std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("fd"));
    let mut links = files.into_iter().flatten().flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    links.any(|link| link.as_os_str() == wanted.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_names_the_socket_between_two_ports() {
        let line =
            "   1: 0100007F:A3F2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 48213 1 0";
        assert_eq!(inode(line, 0xa3f2, 0x1f90).as_deref(), Some("48213"));
        assert_eq!(inode(line, 0x1f90, 0xa3f2), None);
    }
}
