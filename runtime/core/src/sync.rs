//! How nodes keep shared records the same: what of an outcome another node may have, and what a node does with what
//! it is sent. Protocol, states and invariants stand in `docs/spec/sync.md`.
//!
//! All of it is pure: rows and messages come in as values, decisions come out. `node` moves the bytes.

mod again;
mod compare;
mod continued;
mod ended;
mod fork;
mod forward;
mod growth;
mod heads;
mod message;
mod objecting;
mod objection;
mod share;
mod twice;
mod viewer;

pub(crate) use again::{executable, whole};
pub use compare::{Arrived, Comparing, Comparison, Complaint, Directories, Heard, Level, Objection, Wait, compare};
pub use ended::End;
pub use fork::{Exhibit, ExhibitLeaf, Fork, Forked};
pub use forward::{Counted, FORWARD_TYPE, Forward, TAKEN_TYPE, Taken, forward_row};
pub use growth::{Grown, Growth, LogHead, grown};
pub use heads::{HEADS_TYPE, HeadAt, Heads};
pub use message::{Feed, Hello, Message, MessageError, VERSION, Wanted};
pub use objecting::{Objecting, objected, records_of};
pub use objection::{Evidence, OBJECTION_TYPE, SignedObjection, Statement};
pub use share::{Share, SharedEvent, Source, SourceEvent, cut_openings, needed_contents, reads_call, share};
pub use twice::{Again, Had, again};
pub use viewer::{Part, Reader, Rights, Seen, Viewer};
