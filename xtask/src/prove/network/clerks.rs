//! Administrators who change the directory meanwhile: it is one log, too, and nobody's copy may differ.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::world::World;
use crate::prove::Dice;

/// An actor that an administrator added.
pub(super) struct Clerk {
    pub(super) name: String,
    /// Whether the administrator was told that it is done.
    pub(super) acknowledged: bool,
}

/// Adds actors at random nodes until told to stop.
pub(super) fn appoint(world: &World, stop: &AtomicBool, mut dice: Dice) -> Vec<Clerk> {
    let mut clerks = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(200 + dice.below(1500)));
        // An observer has people, too.
        let Some(organisation) = dice.pick(&world.organisations) else { continue };
        let person = format!("clerk-{}", clerks.len());
        // Its node may be down: then its directory's lock is free, and the verb does by itself what it can.
        let done =
            organisation.http().is_some() && organisation.does(&["actor", "add", &person, "--role", "buyer"]).is_ok();
        clerks.push(Clerk { name: format!("{person}@{}", organisation.name), acknowledged: done });
    }
    clerks
}
