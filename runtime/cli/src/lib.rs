//! The command line of Lockstep as a library: what its verbs do, without the words on the terminal.

pub mod contract;
pub mod prices;
